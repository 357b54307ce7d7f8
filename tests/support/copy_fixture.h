#pragma once

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/borrower.h"
#include "tests/support/copier.h"
#include "tests/support/pool_fixture.h"

namespace twi::sql {

/// One who copies into `quotes` and out of it, in the one session there is.
class CopyTest : public PoolTest {
 protected:
  static constexpr char kIn[] = "copy quotes from stdin";
  static constexpr char kOut[] = "copy (select * from quotes order by id) to stdout";

  CopyTest() {
    database_.Run("create table quotes (id bigint primary key, author text not null)");
    Restart({.max_connections = 5});
    EXPECT_TRUE(borrower_.emplace(*pool_).Borrow().ok());
  }
  ~CopyTest() override { borrower_.reset(); }

  const Lease& lease() { return borrower_->loan().lease; }
  CopyOptions Options(const std::string& text, Clock::duration timeout = std::chrono::seconds(60)) {
    return {.text = text, .deadline = Clock::now() + timeout, .cancelled = &borrower_->cancelled()};
  }

  /// Rows in the format of text.
  static std::string Text(int64_t begin, int64_t end) {
    std::string text;
    for (int64_t id = begin; id < end; ++id) absl::StrAppend(&text, id, "\tauthor ", id, "\n");
    return text;
  }

  std::string Quotes() { return database_.Value("select count(*) from quotes"); }

  /// The session is as it was, and the same: a copy each way goes well.
  void ExpectUsable(const std::string& pid) {
    EXPECT_EQ(borrower_->pid(), pid);
    EXPECT_TRUE(borrower_->Run("create temp table if not exists mine (id bigint)").status.ok());
    CopyIn in(lease(), Options("copy mine from stdin"));
    EXPECT_TRUE(PutAll(in, "1\n2\n").ok()) << in.status();
    EXPECT_EQ(in.outcome().rows, 2);
    CopyOut out(lease(), Options("copy mine to stdout"));
    const absl::StatusOr<std::string> text = TakeAll(out);
    EXPECT_TRUE(text.ok()) << text.status();
    EXPECT_TRUE(borrower_->Run("drop table mine").status.ok());
  }

  /// Each row that is written waits for the gate.
  void Gate() {
    database_.Run(
        "create function wait() returns trigger language plpgsql as $$ begin perform pass(1); "
        "return new; end $$;"
        "create trigger wait before insert on quotes for each row execute function wait()");
  }

  std::optional<Borrower> borrower_;
};

}  // namespace twi::sql

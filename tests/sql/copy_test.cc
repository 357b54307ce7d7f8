#include "sql/copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <coroutine>
#include <future>
#include <thread>

#include "sql/copy_statement.h"
#include "sql/errors.h"
#include "tests/support/copy_fixture.h"

namespace twi::sql {
namespace {

using absl::StatusCode;

TEST_F(CopyTest, AHundredThousandRowsGoInAndOut) {
  const std::string text = Text(0, 100000);
  CopyIn in(lease(), Options(kIn));
  ASSERT_TRUE(Begun(in).ok()) << in.status();
  // Rows are cut anywhere.
  for (size_t at = 0; at < text.size(); at += 10007) {
    ASSERT_TRUE(Put(in, std::string_view(text).substr(at, 10007)).ok()) << in.status();
  }
  ASSERT_TRUE(End(in).ok()) << in.status();
  EXPECT_EQ(in.outcome().rows, 100000);
  EXPECT_EQ(Quotes(), "100000");

  CopyOut out(lease(), Options(kOut));
  ASSERT_TRUE(Begun(out).ok()) << out.status();
  std::string all;
  size_t chunks = 0;
  size_t longest = 0;
  while (true) {
    const absl::StatusOr<std::string> chunk = Next(out);
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    if (chunk->empty()) break;
    EXPECT_EQ(chunk->back(), '\n') << "not whole rows";
    ++chunks;
    longest = std::max(longest, chunk->size());
    all += *chunk;
  }
  EXPECT_TRUE(all == text);
  EXPECT_EQ(out.outcome().rows, 100000);
  EXPECT_GE(chunks, text.size() / longest);
  EXPECT_LT(longest, 70000u);
  EXPECT_EQ(*Next(out), "") << "there is nothing behind the end";
}

TEST_F(CopyTest, OnePutMayBeOfAnySize) {
  const std::string text = Text(0, 200000);
  CopyIn in(lease(), Options(kIn));
  EXPECT_TRUE(PutAll(in, text).ok()) << in.status();
  EXPECT_EQ(Quotes(), "200000");
  CopyIn none(lease(), Options(kIn));
  EXPECT_TRUE(PutAll(none, "").ok()) << none.status();
  EXPECT_EQ(none.outcome().rows, 0);
  CopyOut empty(lease(), Options("copy t to stdout"));
  EXPECT_EQ(*TakeAll(empty), "");
  EXPECT_EQ(empty.outcome().rows, 0);
}

TEST_F(CopyTest, BinaryIsAFormatAsAnyOther) {
  database_.Run("insert into quotes select i, 'a' from generate_series(1, 1000) i");
  database_.Run("create table twin (like quotes)");
  CopyOut out(lease(), Options("copy quotes to stdout (format binary)"));
  const absl::StatusOr<std::string> bytes = TakeAll(out);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  CopyIn in(lease(), Options("copy twin from stdin (format binary)"));
  EXPECT_TRUE(PutAll(in, *bytes).ok()) << in.status();
  EXPECT_EQ(database_.Value("select count(*) from twin join quotes using (id, author)"), "1000");
}

/// A coroutine that runs until it waits for the first time, and then on others' threads.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::abort(); }
  };
};

Detached CopyBothWays(const Lease& lease, std::string bytes, std::promise<std::string>& result) {
  CopyIn in(lease, {.text = "copy quotes from stdin"});
  absl::Status status = co_await in.Begin();
  for (size_t at = 0; status.ok() && at < bytes.size(); at += 100000) {
    status = co_await in.Put(std::string_view(bytes).substr(at, 100000));
  }
  if (status.ok()) status = co_await in.End();
  if (!status.ok()) co_return result.set_value(status.ToString());
  CopyOut out(lease, {.text = "copy (select * from quotes order by id) to stdout"});
  status = co_await out.Begin();
  std::string all;
  while (status.ok()) {
    absl::StatusOr<std::string> chunk = co_await out.Next();
    status = chunk.status();
    if (!status.ok() || chunk->empty()) break;
    all += *chunk;
  }
  CopyOut given_up(lease, {.text = "copy (select * from quotes) to stdout"});
  if (status.ok()) status = co_await given_up.Begin();
  if (status.ok()) status = co_await given_up.Abort("enough");
  result.set_value(status.ok() ? all : status.ToString());
}

TEST_F(CopyTest, StepsAreAwaited) {
  const std::string text = Text(0, 50000);
  std::promise<std::string> result;
  CopyBothWays(lease(), text, result);
  EXPECT_TRUE(result.get_future().get() == text);
}

TEST_F(CopyTest, WhatTheDatabaseIsSlowToTakeIsNotHeapedUp) {
  Gate();
  testing::Transaction gate = Close(1);
  CopyIn in(lease(), Options(kIn));
  ASSERT_TRUE(Begun(in).ok()) << in.status();
  const std::string text = Text(0, 500000);
  constexpr size_t kPiece = 64 * 1024;
  size_t taken = 0;
  std::optional<UnderWay> put;
  while (taken < text.size()) {
    put.emplace([&](Copy::Done done) {
      return in.Put(std::string_view(text).substr(taken, kPiece), std::move(done));
    });
    // One that does not come while the database sleeps, is not going to.
    if (!put->over()) std::this_thread::sleep_for(std::chrono::milliseconds(300));
    if (!put->over()) break;
    taken += kPiece;
  }
  ASSERT_LT(taken, text.size());
  EXPECT_LT(taken, 2u << 20);
  // Others go on meanwhile, and it does when the database does.
  EXPECT_TRUE(Run(kEcho, {1})[0]->status.ok());
  EXPECT_FALSE(put->over());
  gate.End();
  put->Wait();
  EXPECT_TRUE(Abort(in).ok());
  EXPECT_EQ(Quotes(), "0");
}

TEST_F(CopyTest, WhatNobodyAsksForIsNotRead) {
  CopyOut out(lease(), Options("copy (select repeat('x', 1000) from generate_series(1, 50000)) "
                               "to stdout"));
  ASSERT_TRUE(Begun(out).ok()) << out.status();
  ASSERT_TRUE(Next(out).ok());
  const auto stalled = [this] {
    return database_.Value(
        "select coalesce(max(a.wait_event), '') from pg_stat_activity a join pg_stat_progress_copy "
        "using (pid) where a.datname = current_database()");
  };
  EXPECT_TRUE(Eventually([&] { return stalled() == "ClientWrite"; }));
  EXPECT_LT(std::stoi(database_.Value("select bytes_processed from pg_stat_progress_copy"
                                      " where datname = current_database()")),
            2 << 20);
  std::string all = *Next(out);
  while (true) {
    const absl::StatusOr<std::string> chunk = Next(out);
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    if (chunk->empty()) break;
    all += *chunk;
  }
  EXPECT_EQ(out.outcome().rows, 50000);
}

TEST_F(CopyTest, RowsThatComeSlowlyAreGivenAsTheyAre) {
  // The database itself keeps the last 8 KiB.
  CopyOut out(lease(), Options("copy (select repeat('x', 9000), pass(i) from generate_series(1, 3) "
                               "i) to stdout"));
  testing::Transaction gate = Close(3);
  ASSERT_TRUE(Begun(out).ok()) << out.status();
  const absl::StatusOr<std::string> first = Next(out);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(*first, ::testing::EndsWith("x\t1\n"));
  EXPECT_FALSE(out.over());
  gate.End();
  EXPECT_TRUE(Next(out).ok());
}

TEST_F(CopyTest, TransactionsHaveTheirCopies) {
  for (const auto& [end, count] : {std::pair(&kRollback, "0"), {&kCommit, "1000"}}) {
    EXPECT_TRUE(borrower_->Run(kBegin).status.ok());
    CopyIn in(lease(), Options(kIn));
    EXPECT_TRUE(PutAll(in, Text(0, 1000)).ok()) << in.status();
    EXPECT_EQ(Quotes(), "0");
    CopyOut out(lease(), Options(kOut));
    EXPECT_EQ(*TakeAll(out), Text(0, 1000));
    EXPECT_TRUE(borrower_->Run(*end).status.ok());
    EXPECT_EQ(Quotes(), count);
  }
}

TEST_F(CopyTest, AnErrorFailsTheTransactionAsAnyOther) {
  const std::string pid = borrower_->pid();
  borrower_->Run(kBegin);
  EXPECT_TRUE(borrower_->Run("savepoint before").status.ok());
  CopyIn in(lease(), Options(kIn));
  EXPECT_EQ(Reason(PutAll(in, "1\ta\n1\tb\n")), "ROW_EXISTS");
  CopyIn refused(lease(), Options(kIn));
  EXPECT_EQ(Reason(PutAll(refused, Text(0, 1))), "TRANSACTION_FAILED");
  EXPECT_TRUE(borrower_->Run("rollback to before").status.ok());
  CopyIn again(lease(), Options(kIn));
  EXPECT_TRUE(PutAll(again, Text(0, 2)).ok()) << again.status();
  EXPECT_TRUE(borrower_->Run(kCommit).status.ok());
  EXPECT_EQ(Quotes(), "2");
  ExpectUsable(pid);
}

TEST_F(CopyTest, NoticesAreNoErrors) {
  database_.Run(
      "create function tell() returns trigger language plpgsql as $$ begin "
      "raise info '%', repeat('x', 20000); raise notice 'n'; return new; end $$;"
      "create trigger tell before insert on quotes for each row execute function tell()");
  EXPECT_TRUE(borrower_->Run("set client_min_messages = notice").status.ok());
  CopyIn in(lease(), Options(kIn));
  ASSERT_TRUE(Begun(in).ok());
  for (int64_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(Put(in, Text(i, i + 1)).ok()) << i << in.status() << in.outcome().database_message;
  }
  EXPECT_TRUE(End(in).ok()) << in.status() << in.outcome().database_message;
  EXPECT_EQ(Quotes(), "1000");
}

TEST(CopyStatement, IsReadByPostgresOwnParser) {
  const auto in = ReadCopy("/* :) */ COPY public.\"Big\" (a, b) FROM STDIN WITH (FORMAT csv);");
  ASSERT_TRUE(in.ok()) << in.status();
  EXPECT_TRUE(in->in && in->writes);
  EXPECT_EQ(in->table, "Big");
  const auto out = ReadCopy("copy (select * from t) to stdout binary");
  ASSERT_TRUE(out.ok()) << out.status();
  EXPECT_FALSE(out->in || out->writes);
  EXPECT_TRUE(ReadCopy("copy (insert into t values (1) returning id) to stdout")->writes);
  for (const char* text : {"", "select 1", "copy t from stdin; drop table t",
                           "copy t from '/etc/passwd'", "copy t to program 'cat'",
                           "copy t from program 'cat'", "copy from", "copy t to '/tmp/t'"}) {
    EXPECT_EQ(ReadCopy(text).status().code(), StatusCode::kInvalidArgument) << text;
  }
}

TEST(CopyStatement, PlacesAreTakenFromContextsInAnyLanguage) {
  const auto locate = [](std::string_view context, const std::string& table = "quotes") {
    DatabaseError error;
    Locate(context, table, &error);
    return absl::StrCat(error.copy_line.value_or(0), " ", error.column);
  };
  EXPECT_EQ(locate("COPY quotes, line 3, column author: \"secret 7\""), "3 author");
  EXPECT_EQ(locate("COPY quotes, line 3, column author: null input"), "3 author");
  EXPECT_EQ(locate("COPY quotes, line 12: \"1, column secret: 2\""), "12 ");
  EXPECT_EQ(locate("COPY quotes, line 12"), "12 ");
  EXPECT_EQ(locate("COPY quotes, line 12, column a b"), "12 a b");
  EXPECT_EQ(locate("COPY quotes, Zeile 3, Spalte author: »secret«"), "3 author");
  EXPECT_EQ(locate("COPY quotes, ligne 3, colonne author : « secret »"), "3 author");
  EXPECT_EQ(locate("COPY quotes, 第 3 行"), "3 ");
  EXPECT_EQ(locate("COPY quotes2, line 3", "quotes2"), "3 ");
  EXPECT_EQ(locate("COPY quotes2, line 3"), "0 ");
  EXPECT_EQ(locate("COPY quotes"), "0 ");
  EXPECT_EQ(locate("COPY quotes: \"5\""), "0 ");
  EXPECT_EQ(locate(""), "0 ");
  EXPECT_EQ(locate("PL/pgSQL function f() line 9 at RAISE\nCOPY quotes, line 4: \"x\nCOPY quotes, "
                   "line 5: secret\""),
            "4 ");
}

}  // namespace
}  // namespace twi::sql

// Copies that do not go well: errors, aborts, cancels, and broken connections.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "sql/copy.h"
#include "sql/errors.h"
#include "tests/support/copy_fixture.h"
#include "tests/support/proxy.h"

namespace twi::sql {
namespace {

using absl::StatusCode;
using std::chrono::milliseconds;
using ::testing::AnyOf;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

using CopyEndsTest = CopyTest;

TEST_F(CopyEndsTest, WhatIsWrongIsToldWithItsRow) {
  database_.Run("create table reply (id bigint references quotes)");
  const std::string pid = borrower_->pid();
  const auto fail = [&](const std::string& statement, const std::string& bytes) {
    CopyIn in(lease(), Options(statement));
    absl::Status status = PutAll(in, bytes);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(status.ToString().find("secret"), std::string::npos);
    return status;
  };
  const absl::Status value = fail(kIn, "1\ta\n2\tb\nsecret\tc\n4\td\n");
  EXPECT_EQ(value.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Reason(value), "VALUE_INVALID");
  EXPECT_THAT(Facts(value), UnorderedElementsAre(Pair("row", "3"), Pair("column", "id"),
                                                 Pair("sqlstate", "22P02")));

  const absl::Status null = fail(kIn, "1\ta\n2\t\\N\n");
  EXPECT_EQ(Reason(null), "VALUE_INVALID");
  EXPECT_THAT(Facts(null),
              UnorderedElementsAre(Pair("row", "2"), Pair("column", "author"),
                                   Pair("table", "quotes"), Pair("sqlstate", "23502")));

  const absl::Status twice = fail(kIn, Text(0, 69999) + "7\tsecret\n" + Text(70000, 100000));
  EXPECT_EQ(twice.code(), StatusCode::kAlreadyExists);
  EXPECT_THAT(Facts(twice),
              UnorderedElementsAre(Pair("row", "70000"), Pair("constraint", "quotes_pkey"),
                                   Pair("table", "quotes"), Pair("sqlstate", "23505")));

  const absl::Status parent = fail("copy reply from stdin", "1\n");
  EXPECT_EQ(Reason(parent), "FOREIGN_KEY_MISSING");
  const absl::Status cut = fail(kIn, "1\ta\n2");
  EXPECT_THAT(Facts(cut), UnorderedElementsAre(Pair("row", "2"), Pair("sqlstate", "22P04")));
  EXPECT_EQ(Quotes(), "0");
  ExpectUsable(pid);
}

TEST_F(CopyEndsTest, WhatCannotBeginIsRefused) {
  const std::string pid = borrower_->pid();
  for (const char* text : {"select 1", "copy quotes from stdin; drop table quotes", "copy",
                           "copy quotes from '/dev/null'"}) {
    CopyIn in(lease(), Options(text));
    EXPECT_EQ(Begun(in).code(), StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(Put(in, "1").code(), StatusCode::kInvalidArgument);
    EXPECT_TRUE(Abort(in).ok());
  }
  CopyIn in_out(lease(), Options(kOut));
  EXPECT_EQ(Reason(Begun(in_out)), "REQUEST_MALFORMED");
  CopyOut out_in(lease(), Options(kIn));
  EXPECT_EQ(Reason(Begun(out_in)), "REQUEST_MALFORMED");

  CopyIn missing(lease(), Options("copy missing from stdin"));
  EXPECT_EQ(Reason(Begun(missing)), "SQL_INVALID");
  EXPECT_EQ(missing.outcome().sqlstate, "42P01");
  CopyOut missing_out(lease(), Options("copy missing to stdout"));
  EXPECT_EQ(Reason(Begun(missing_out)), "SQL_INVALID");

  EXPECT_TRUE(borrower_->Run("set role pg_monitor").status.ok());
  CopyIn denied(lease(), Options(kIn));
  EXPECT_EQ(Begun(denied).code(), StatusCode::kPermissionDenied);
  CopyOut denied_out(lease(), Options(kOut));
  EXPECT_EQ(Begun(denied_out).code(), StatusCode::kPermissionDenied);
  EXPECT_TRUE(borrower_->Run("reset role").status.ok());
  ExpectUsable(pid);
}

TEST_F(CopyEndsTest, AnErrorInTheMiddleOfWhatIsReadIsTold) {
  const std::string pid = borrower_->pid();
  CopyOut out(lease(), Options("copy (select 1 / (70000 - i) from generate_series(1, 100000) i) "
                               "to stdout"));
  const absl::StatusOr<std::string> all = TakeAll(out);
  EXPECT_EQ(Reason(all.status()), "VALUE_INVALID");
  EXPECT_EQ(out.outcome().sqlstate, "22012");
  EXPECT_THAT(Facts(all.status()), UnorderedElementsAre(Pair("sqlstate", "22012")));
  ExpectUsable(pid);
}

TEST_F(CopyEndsTest, AnErrorIsToldWhileMoreIsPut) {
  const std::string pid = borrower_->pid();
  const std::string more = Text(10, 5000);
  constexpr size_t kFar = 256u << 20;
  // Once with a full socket all the time, and once while nothing is put.
  for (const bool hasty : {true, false}) {
    CopyIn in(lease(), Options(kIn));
    ASSERT_TRUE(Begun(in).ok());
    EXPECT_TRUE(Put(in, "1\ta\n2\tb\nwrong\tc\n").ok());
    if (!hasty) {
      EXPECT_TRUE(Eventually([&] { return in.over(); }));
    }
    size_t put = 0;
    while (put < kFar && Put(in, more).ok()) put += more.size();
    EXPECT_LT(put, kFar) << "it was told at the end only";
    EXPECT_EQ(Reason(in.status()), "VALUE_INVALID");
    EXPECT_THAT(Facts(in.status()), UnorderedElementsAre(Pair("row", "3"), Pair("column", "id"),
                                                         Pair("sqlstate", "22P02")));
    EXPECT_EQ(Reason(End(in)), "VALUE_INVALID");
    EXPECT_EQ(Quotes(), "0");
  }
  // Before the first row is read.
  database_.Run(
      "create function refuse() returns trigger language plpgsql as $$ begin "
      "raise exception 'no'; end $$;"
      "create trigger refuse before insert on quotes execute function refuse()");
  CopyIn refused(lease(), Options(kIn));
  EXPECT_EQ(Reason(PutAll(refused, more)), "CONSTRAINT_VIOLATED");
  ExpectUsable(pid);
}

TEST_F(CopyEndsTest, AbortsUndo) {
  const std::string pid = borrower_->pid();
  CopyIn in(lease(), Options(kIn));
  ASSERT_TRUE(Begun(in).ok());
  EXPECT_TRUE(Put(in, Text(0, 50000)).ok());
  EXPECT_TRUE(Abort(in).ok());
  EXPECT_EQ(in.status().code(), StatusCode::kCancelled);
  EXPECT_EQ(Quotes(), "0");
  CopyOut out(lease(), Options("copy (select repeat('x', 1000) from generate_series(1, 10000000)) "
                               "to stdout"));
  ASSERT_TRUE(Begun(out).ok());
  EXPECT_TRUE(Next(out).ok());
  EXPECT_TRUE(Abort(out).ok());
  EXPECT_EQ(out.status().code(), StatusCode::kCancelled);
  EXPECT_EQ(Next(out).status().code(), StatusCode::kCancelled);

  borrower_->Run(kBegin);
  CopyIn inside(lease(), Options(kIn));
  ASSERT_TRUE(Begun(inside).ok());
  EXPECT_TRUE(Abort(inside).ok());
  EXPECT_EQ(borrower_->Run("select 1").sqlstate, "25P02");
  EXPECT_TRUE(borrower_->Run(kRollback).status.ok());
  ExpectUsable(pid);
}

TEST_F(CopyEndsTest, DeadlinesAndCallersWhoAreGoneEndIt) {
  const std::string pid = borrower_->pid();
  const std::string endless =
      "copy (select repeat('x', 1000) from generate_series(1, 10000000)) to stdout";
  const std::string silent = "copy (select pg_sleep(600)) to stdout";
  for (const StatusCode code : {StatusCode::kDeadlineExceeded, StatusCode::kCancelled}) {
    SCOPED_TRACE(code);
    const bool late = code == StatusCode::kDeadlineExceeded;
    const auto options = [&](const std::string& text) {
      return Options(text, late ? milliseconds(150) : milliseconds(60000));
    };
    const auto give_up = [&] {
      if (!late) borrower_->cancelled() = true;
    };
    const auto expect = [&](Copy& copy) {
      EXPECT_TRUE(Eventually([&] { return copy.over(); }));
      EXPECT_EQ(copy.status().code(), code);
      borrower_->cancelled() = false;
      ExpectUsable(pid);
    };
    {
      CopyIn in(lease(), options(kIn));
      // On a busy machine the deadline may pass before.
      EXPECT_THAT(Begun(in).code(), AnyOf(StatusCode::kOk, code));
      EXPECT_THAT(Put(in, Text(0, 10)).code(), AnyOf(StatusCode::kOk, code));
      give_up();
      expect(in);
      EXPECT_EQ(Put(in, "1").code(), code);
    }
    {
      CopyOut out(lease(), options(endless));
      EXPECT_THAT(Begun(out).code(), AnyOf(StatusCode::kOk, code));
      give_up();
      expect(out);
      EXPECT_EQ(Next(out).status().code(), code);
    }
    {
      CopyOut out(lease(), options(silent));
      // The database does not even tell of the first 8 KiB.
      UnderWay begin([&](Copy::Done done) { return out.Begin(std::move(done)); });
      give_up();
      begin.Wait();
      expect(out);
    }
    {
      // It waits for the table.
      testing::Transaction lock(database_, "lock table quotes");
      CopyIn in(lease(), options(kIn));
      UnderWay begin([&](Copy::Done done) { return in.Begin(std::move(done)); });
      give_up();
      begin.Wait();
      expect(in);
    }
    EXPECT_EQ(Quotes(), "0");
  }
}

TEST_F(CopyEndsTest, OneThatTheDatabaseDoesNotReadIsCancelled) {
  Gate();
  const std::string pid = borrower_->pid();
  testing::Transaction gate = Close(1);
  const std::string text = Text(0, 200000);
  CopyIn in(lease(), Options(kIn, milliseconds(300)));
  EXPECT_THAT(Begun(in).code(), AnyOf(StatusCode::kOk, StatusCode::kDeadlineExceeded));
  EXPECT_EQ(Put(in, text).code(), StatusCode::kDeadlineExceeded);
  CopyIn ending(lease(), Options(kIn, milliseconds(300)));
  EXPECT_EQ(PutAll(ending, Text(0, 1)).code(), StatusCode::kDeadlineExceeded);
  CopyIn aborted(lease(), Options(kIn));
  ASSERT_TRUE(Begun(aborted).ok());
  EXPECT_TRUE(Put(aborted, Text(0, 1)).ok());
  EXPECT_TRUE(Eventually([this] { return Running("copy quotes") == 1; }));
  EXPECT_TRUE(Abort(aborted).ok());
  gate.End();
  EXPECT_EQ(Quotes(), "0");
  ExpectUsable(pid);
}

TEST_F(CopyEndsTest, OneThatIsDroppedIsUndoneAndItsSessionClosed) {
  int64_t closed = 0;
  // The lease, then the copy; the copy, then the lease; the copy alone.
  for (const int order : {0, 1, 2}) {
    SCOPED_TRACE(order);
    const std::string pid = borrower_->pid();
    std::optional<CopyIn> in;
    in.emplace(lease(), Options(kIn));
    ASSERT_TRUE(Begun(*in).ok());
    EXPECT_TRUE(Put(*in, Text(0, 1000)).ok());
    if (order == 0) {
      borrower_->Return();
      EXPECT_TRUE(Eventually([&] { return in->over(); }));
      EXPECT_EQ(Reason(End(*in)), "DATABASE_UNAVAILABLE");
    }
    in.reset();
    if (order == 1) borrower_->Return();
    EXPECT_TRUE(Eventually([&] { return pool_->numbers().closed_reset == closed + 1; }));
    ++closed;
    if (order == 2) {
      EXPECT_EQ(Reason(borrower_->Run("select 1").status), "DATABASE_UNAVAILABLE");
    }
    borrower_->Return();
    ASSERT_TRUE(borrower_->Borrow().ok());
    EXPECT_NE(borrower_->pid(), pid);
    EXPECT_EQ(Quotes(), "0");
  }
  CopyOut out(lease(), Options("copy (select repeat('x', 1000) from generate_series(1, 10000000)) "
                               "to stdout"));
  ASSERT_TRUE(Begun(out).ok());
  borrower_->Return();
  // What has come before is there to be taken.
  absl::StatusOr<std::string> chunk;
  do {
    chunk = Next(out);
  } while (chunk.ok() && !chunk->empty());
  EXPECT_FALSE(chunk.ok());
  EXPECT_EQ(pool_->numbers().lost, 0);
}

TEST_F(CopyEndsTest, AStopEndsIt) {
  CopyIn in(lease(), Options(kIn));
  ASSERT_TRUE(Begun(in).ok());
  EXPECT_TRUE(Put(in, Text(0, 10)).ok());
  pool_->Stop();
  EXPECT_EQ(Reason(Put(in, Text(10, 20))), "SHUTTING_DOWN");
  EXPECT_EQ(Reason(Abort(in)), "SHUTTING_DOWN");
  CopyOut late(lease(), Options(kOut));
  EXPECT_EQ(Reason(Begun(late)), "SHUTTING_DOWN");
  pool_.reset();
  EXPECT_EQ(Quotes(), "0");
}

TEST_F(CopyEndsTest, AStopAtTheEndIsUnknown) {
  Gate();
  testing::Transaction gate = Close(1);
  CopyIn in(lease(), Options(kIn));
  ASSERT_TRUE(Begun(in).ok());
  EXPECT_TRUE(Put(in, Text(0, 10)).ok());
  UnderWay end([&](Copy::Done done) { return in.End(std::move(done)); });
  // On the loop, the end is sent before this is answered.
  EXPECT_TRUE(Run(kEcho, {1})[0]->status.ok());
  pool_->Stop();
  end.Wait();
  EXPECT_EQ(Reason(in.status()), "OUTCOME_UNKNOWN");
}

class BrokenCopyTest : public CopyTest {
 protected:
  /// By way of the proxy.
  BrokenCopyTest() {
    borrower_.reset();
    pool_ = std::make_unique<Pool>(
        PoolOptions{.dsn = proxy_.dsn(), .max_connections = 5, .slow = slow_});
    EXPECT_TRUE(pool_->WaitConnected(absl::Seconds(60)).ok());
    EXPECT_TRUE(borrower_.emplace(*pool_).Borrow().ok());
  }
  ~BrokenCopyTest() override {
    borrower_.reset();
    pool_.reset();
  }

  void BorrowAnew() {
    borrower_->Return();
    while (!borrower_->Borrow().ok()) std::this_thread::sleep_for(milliseconds(5));
  }

  testing::Proxy proxy_{database_.dsn()};
};

TEST_F(BrokenCopyTest, BeforeItsEndWasSentNothingWasDone) {
  CopyIn in(lease(), Options(kIn));
  ASSERT_TRUE(Begun(in).ok());
  EXPECT_TRUE(Put(in, Text(0, 10)).ok());
  proxy_.Cut();
  EXPECT_TRUE(Eventually([&] { return in.over(); }));
  EXPECT_EQ(in.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Reason(End(in)), "DATABASE_UNAVAILABLE");
  EXPECT_EQ(Reason(Abort(in)), "DATABASE_UNAVAILABLE");
  EXPECT_EQ(Quotes(), "0");

  BorrowAnew();
  CopyOut out(lease(), Options("copy (select repeat('x', 1000) from generate_series(1, 100000)) "
                               "to stdout"));
  ASSERT_TRUE(Begun(out).ok());
  // Not by the proxy, which waits until somebody reads.
  database_.Run(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like 'copy (sel%' and "
      "datname = current_database()");
  absl::StatusOr<std::string> chunk = Next(out);
  while (chunk.ok() && !chunk->empty()) chunk = Next(out);
  EXPECT_EQ(Reason(chunk.status()), "DATABASE_UNAVAILABLE");
  EXPECT_EQ(Reason(borrower_->Run("select 1").status), "DATABASE_UNAVAILABLE");
}

TEST_F(BrokenCopyTest, AfterItsEndWasSentNobodyKnows) {
  CopyIn in(lease(), Options(kIn));
  ASSERT_TRUE(Begun(in).ok());
  EXPECT_TRUE(Put(in, Text(0, 10)).ok());
  proxy_.HoldAnswers();
  UnderWay end([&](Copy::Done done) { return in.End(std::move(done)); });
  EXPECT_TRUE(Eventually([this] { return Quotes() == "10"; }));
  EXPECT_FALSE(end.over());
  proxy_.Cut();
  end.Wait();
  EXPECT_EQ(in.status().code(), StatusCode::kUnknown);
  EXPECT_EQ(Reason(in.status()), "OUTCOME_UNKNOWN");
  EXPECT_EQ(Reason(borrower_->Run("select 1").status), "DATABASE_UNAVAILABLE");

  BorrowAnew();
  CopyOut out(lease(), Options("copy (insert into t values (1) returning id) to stdout"));
  proxy_.HoldAnswers();
  UnderWay begin([&](Copy::Done done) { return out.Begin(std::move(done)); });
  EXPECT_TRUE(Eventually([this] { return Count() == "1"; }));
  proxy_.Cut();
  begin.Wait();
  EXPECT_EQ(Reason(out.status()), "OUTCOME_UNKNOWN");
}

TEST_F(BrokenCopyTest, InsideATransactionNothingWasDone) {
  borrower_->Run(kBegin);
  CopyIn in(lease(), Options(kIn));
  ASSERT_TRUE(Begun(in).ok());
  proxy_.HoldAnswers();
  UnderWay end([&](Copy::Done done) { return in.End(std::move(done)); });
  EXPECT_TRUE(Eventually([this] {
    return database_.Value(
               "select count(*) from pg_stat_activity where state = 'idle in transaction' and "
               "query like 'copy quotes%' and datname = current_database()") == "1";
  }));
  proxy_.Cut();
  end.Wait();
  EXPECT_EQ(Reason(in.status()), "DATABASE_UNAVAILABLE");
  EXPECT_EQ(Quotes(), "0");
}

}  // namespace
}  // namespace twi::sql

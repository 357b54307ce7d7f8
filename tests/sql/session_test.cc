#include "sql/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/borrower.h"
#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

using absl::StatusCode;

class SessionTest : public PoolTest {
 protected:
  /// With one session, which so is the next caller's, too.
  SessionTest() { Restart({.max_connections = 5}); }

  /// Borrows the session that the next caller would have, and says which it is.
  std::string Next() {
    Borrower next(*pool_);
    EXPECT_TRUE(next.Borrow().ok());
    return next.pid();
  }

  void Kill(const std::string& pid) const {
    EXPECT_EQ(database_.Value("select pg_terminate_backend(" + pid + ", 60000)"), "t");
  }

  /// Waits until the backend is in the state that `condition` describes.
  bool Is(const std::string& pid, const std::string& condition) const {
    return Eventually([&] {
      return database_.Value("select count(*) from pg_stat_activity where pid = " + pid + " and " +
                             condition) == "1";
    });
  }
};

TEST_F(SessionTest, ATransactionIsOneOnItsOwnSession) {
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  EXPECT_TRUE(borrower.Run(kBegin).status.ok());
  EXPECT_TRUE(borrower.Run("insert into t values (1)").status.ok());
  EXPECT_EQ(Count(), "0");
  EXPECT_TRUE(borrower.Run(kCommit).status.ok());
  EXPECT_EQ(Count(), "1");
  EXPECT_TRUE(borrower.Run(kBegin).status.ok());
  EXPECT_TRUE(borrower.Run("insert into t values (2)").status.ok());
  EXPECT_TRUE(borrower.Run(kRollback).status.ok());
  EXPECT_EQ(Count(), "1");
}

TEST_F(SessionTest, ACommitOfWhatHasFailedIsNoSuccess) {
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  borrower.Run(kBegin);
  EXPECT_EQ(Reason(borrower.Run("insert into t values (-1), (-1)").status), "ROW_EXISTS");
  EXPECT_EQ(borrower.Run("select 1").status.code(), StatusCode::kAborted);
  EXPECT_EQ(borrower.Run(kCommit).status.code(), StatusCode::kAborted);
  EXPECT_EQ(Count(), "0");
  EXPECT_TRUE(borrower.Run("insert into t values (1)").status.ok());
}

TEST_F(SessionTest, NothingOfASessionsStateReachesTheNextCaller) {
  database_.Run("create sequence s");
  const std::string role = database_.Value("select current_user");
  std::string pid;
  {
    Borrower borrower(*pool_);
    ASSERT_TRUE(borrower.Borrow().ok());
    pid = borrower.pid();
    for (const char* text :
         {"set work_mem = '77kB'", "set timezone = 'Asia/Tokyo'",
          "set default_transaction_read_only = on", "set statement_timeout = '12345s'",
          "set idle_in_transaction_session_timeout = 0", "set my.own = 'secret'", "set jit = on",
          "set default_transaction_read_only = off", "create temp table mine (id int)",
          "select pg_advisory_lock(4711)", "listen channel", "select nextval('s')",
          "declare c cursor with hold for select 1", "set session authorization pg_monitor"}) {
      const absl::Status status = borrower.Run(text).status;
      EXPECT_TRUE(status.ok()) << text << status;
    }
    EXPECT_EQ(database_.Value("select count(*) from pg_locks where objid = 4711"), "1");
  }
  Borrower next(*pool_);
  ASSERT_TRUE(next.Borrow().ok());
  ASSERT_EQ(next.pid(), pid);
  const std::pair<const char*, std::string> expected[] = {
      {"select current_setting('work_mem')", database_.Value("show work_mem")},
      {"select current_setting('timezone')", "UTC"},
      {"select current_setting('default_transaction_read_only')", "off"},
      {"select current_setting('statement_timeout')", "0"},
      {"select current_setting('jit')", "off"},
      {"select current_setting('idle_in_transaction_session_timeout')", "30s"},
      {"select coalesce(current_setting('my.own', true), '')", ""},
      {"select coalesce(to_regclass('pg_temp.mine')::text, '')", ""},
      {"select count(*)::text from pg_locks where objid = 4711", "0"},
      {"select count(*)::text from pg_listening_channels()", "0"},
      {"select count(*)::text from pg_cursors where name = 'c'", "0"},
      {"select session_user::text", role},
      {"select current_user::text", role}};
  for (const auto& [text, value] : expected) EXPECT_EQ(next.Value(text), value) << text;
  EXPECT_FALSE(next.Run("select lastval()").status.ok());
  EXPECT_TRUE(next.Run("set role pg_monitor").status.ok());
  next.Return();
  ASSERT_TRUE(next.Borrow().ok());
  EXPECT_EQ(next.Value("select current_user::text"), role);
  EXPECT_EQ(next.pid(), pid);
}

TEST_F(SessionTest, OneGivenBackInsideATransactionIsClosed) {
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  const std::string pid = borrower.pid();
  borrower.Run(kBegin);
  EXPECT_TRUE(borrower.Run("insert into t values (1)").status.ok());
  borrower.Return();
  EXPECT_TRUE(Eventually([this] { return pool_->numbers().closed_reset == 1; }));
  EXPECT_NE(Next(), pid);
  EXPECT_EQ(Count(), "0");
}

TEST_F(SessionTest, OneThatCannotBeResetIsClosed) {
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  const std::string pid = borrower.pid();
  // A name that the reset needs.
  EXPECT_TRUE(borrower.Run("prepare twi_data_reset_all as select 1").status.ok());
  borrower.Return();
  EXPECT_TRUE(Eventually([this] { return pool_->numbers().closed_reset == 1; }));
  EXPECT_NE(Next(), pid);
}

TEST_F(SessionTest, AStatementIsCancelledAtItsDeadlineAndTheSessionGoesOn) {
  const Statement endless = {"", "select pg_sleep(600)"};
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  const std::string pid = borrower.pid();
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(borrower.Run(endless, std::chrono::milliseconds(20)).status.code(),
              StatusCode::kDeadlineExceeded);
    // A cancel that came late would hit this one.
    EXPECT_EQ(borrower.Value("select 'here' from pg_sleep(0.01)"), "here");
  }
  // Each ends by itself when it is about to be cancelled.
  const Statement brief = {"", "select pg_sleep(0.01)"};
  const int rounds = std::max(10, static_cast<int>(100 * Load()));
  for (int round = 0; round < rounds; ++round) {
    borrower.Run(brief, std::chrono::microseconds(9800 + 10 * (round % 100)));
    ASSERT_EQ(borrower.Value("select 'here' from pg_sleep(0.005)"), "here");
  }
  borrower.Begin(endless);
  borrower.cancelled() = true;
  EXPECT_EQ(borrower.End().status.code(), StatusCode::kCancelled);
  borrower.cancelled() = false;
  EXPECT_EQ(borrower.pid(), pid);
}

TEST_F(SessionTest, ATransactionThatLiesIdleIsEndedAndItsCallerTold) {
  Restart({.max_connections = 5, .idle_in_transaction = absl::Milliseconds(200)});
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  const std::string pid = borrower.pid();
  // Outside a transaction it may lie idle.
  EXPECT_EQ(borrower.Value("show idle_in_transaction_session_timeout"), "200ms");
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  // A busy machine may not come to the second statement in time.
  EXPECT_TRUE(borrower.Run("set idle_in_transaction_session_timeout = 0").status.ok());
  EXPECT_TRUE(borrower.Run(kBegin).status.ok());
  EXPECT_TRUE(borrower.Run("insert into t values (1)").status.ok());
  EXPECT_TRUE(borrower.Run("set local idle_in_transaction_session_timeout = 200").status.ok());
  EXPECT_TRUE(Eventually([this] { return pool_->numbers().lost == 1; }));
  for (const Statement* statement : {&kEcho, &kCommit, &kRollback}) {
    const Execution& execution = borrower.Run(*statement);
    EXPECT_EQ(execution.status.code(), StatusCode::kAborted);
    EXPECT_EQ(Reason(execution.status), "TRANSACTION_IDLE");
    EXPECT_EQ(execution.sqlstate, "25P03");
    EXPECT_EQ(execution.attempts, 0);
  }
  borrower.Return();
  EXPECT_EQ(Count(), "0");
  EXPECT_NE(Next(), pid);
}

TEST_F(SessionTest, ABreakInsideATransactionMeansThatNothingWasDone) {
  const Statement slow = {"", "insert into t select 1 from pg_sleep(600)", false};
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  const std::string pid = borrower.pid();
  borrower.Run(kBegin);
  borrower.Begin(slow);
  ASSERT_TRUE(Is(pid, "state = 'active' and query like '%pg_sleep(600)%'"));
  Kill(pid);
  const Execution& broken = borrower.End();
  EXPECT_EQ(broken.status.code(), StatusCode::kUnavailable);
  EXPECT_EQ(Reason(broken.status), "DATABASE_UNAVAILABLE");
  EXPECT_EQ(broken.attempts, 1);
  const Execution& after = borrower.Run(kCommit);
  EXPECT_EQ(Reason(after.status), "DATABASE_UNAVAILABLE");
  EXPECT_EQ(after.attempts, 0);
}

TEST_F(SessionTest, ABreakBetweenTheStatementsOfATransactionMeansThatNothingWasDone) {
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  const std::string pid = borrower.pid();
  borrower.Run(kBegin);
  EXPECT_TRUE(borrower.Run("insert into t values (1)").status.ok());
  Kill(pid);
  // What is sent before that is seen may have been done.
  EXPECT_TRUE(Eventually([this] { return pool_->numbers().lost == 1; }));
  EXPECT_EQ(Reason(borrower.Run(kCommit).status), "DATABASE_UNAVAILABLE");
  EXPECT_EQ(Count(), "0");
}

TEST_F(SessionTest, ABreakAtTheCommitIsUnknown) {
  database_.Run(
      "create function slowly() returns trigger language plpgsql as $$ begin perform "
      "pg_sleep(600); return null; end $$;"
      "create constraint trigger slowly after insert on t deferrable initially deferred "
      "for each row execute function slowly()");
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  const std::string pid = borrower.pid();
  borrower.Run(kBegin);
  EXPECT_TRUE(borrower.Run("insert into t values (1)").status.ok());
  borrower.Begin(kCommit);
  ASSERT_TRUE(Is(pid, "state = 'active' and query = 'commit'"));
  Kill(pid);
  const Execution& commit = borrower.End();
  EXPECT_EQ(commit.status.code(), StatusCode::kUnknown);
  EXPECT_EQ(Reason(commit.status), "OUTCOME_UNKNOWN");
  EXPECT_EQ(commit.attempts, 1);
}

TEST_F(SessionTest, ABreakOutsideATransactionIsUnknownForWritesAlone) {
  const Statement write = {"", "insert into t select 1 from pg_sleep(600)", false};
  const Statement read = {"", "select pg_sleep(600)", true};
  for (const Statement* statement : {&write, &read}) {
    Borrower borrower(*pool_);
    ASSERT_TRUE(borrower.Borrow().ok());
    const std::string pid = borrower.pid();
    borrower.Begin(*statement);
    ASSERT_TRUE(Is(pid, "state = 'active' and query like '%pg_sleep(600)%'"));
    Kill(pid);
    const Execution& execution = borrower.End();
    EXPECT_EQ(Reason(execution.status),
              statement->read_only ? "DATABASE_UNAVAILABLE" : "OUTCOME_UNKNOWN");
    EXPECT_EQ(execution.attempts, 1);
  }
}

TEST_F(SessionTest, NothingRunsTwiceInsideATransaction) {
  database_.Run(
      "create function fail(state text) returns int language plpgsql as $$ begin raise exception "
      "using errcode = state; end $$");
  for (const std::string state : {"40001", "40P01"}) {
    Borrower borrower(*pool_);
    ASSERT_TRUE(borrower.Borrow().ok());
    borrower.Run(kBegin);
    const Execution& execution = borrower.Run("select fail('" + state + "')");
    EXPECT_EQ(execution.status.code(), StatusCode::kAborted);
    EXPECT_EQ(execution.attempts, 1);
    EXPECT_TRUE(borrower.Run(kRollback).status.ok());
  }
}

TEST_F(SessionTest, AStatementWhoseRowsHaveChangedIsForTheCallerToTryAgain) {
  const Statement rows = {"Test/Rows", "select * from t"};
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  EXPECT_TRUE(borrower.Run(rows).status.ok());
  database_.Run("alter table t add column more text");
  borrower.Run(kBegin);
  EXPECT_EQ(borrower.Run(rows).status.code(), StatusCode::kAborted);
  borrower.Run(kRollback);
  borrower.Run(kBegin);
  const Execution& again = borrower.Run(rows);
  EXPECT_TRUE(again.status.ok()) << again.status;
  EXPECT_EQ(again.rows.columns(), 2);
}

}  // namespace
}  // namespace twi::sql

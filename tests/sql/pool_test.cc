#include "sql/pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "sql/errors.h"
#include "tests/support/borrower.h"
#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

/// Ends the connection that runs a statement with these words, as soon as one does.
class BreakTest : public PoolTest {
 protected:
  void KillWhoRuns(const std::string& words) {
    EXPECT_TRUE(Eventually([&] {
      return database_.Value(
                 "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like "
                 "'%" +
                 words +
                 "%' and state = 'active' and datname = current_database() and pid <> "
                 "pg_backend_pid()") == "1";
    }));
  }
};

TEST_F(PoolTest, EveryCallerGetsItsOwnAnswer) {
  const auto executions = Run(kEcho, Range(0, 500));
  int batched = 0;
  for (size_t i = 0; i < executions.size(); ++i) {
    ASSERT_TRUE(executions[i]->status.ok()) << executions[i]->status;
    ASSERT_EQ(Int8Of(executions[i]->rows), static_cast<int64_t>(i));
    batched += !executions[i]->solo;
  }
  EXPECT_GT(batched, 0) << "nothing ever shared a Sync";
}

TEST_F(PoolTest, AFailingReadIsItsOwnCallersAlone) {
  std::vector<int64_t> values = Range(1, 100);
  values[10] = values[50] = 0;
  const auto executions = Run(kDivide, values);
  for (size_t i = 0; i < executions.size(); ++i) {
    const Execution& execution = *executions[i];
    if (values[i] == 0) {
      EXPECT_EQ(execution.status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_EQ(execution.sqlstate, "22012");
    } else {
      ASSERT_TRUE(execution.status.ok()) << execution.status;
      EXPECT_EQ(Int8Of(execution.rows), 100 / values[i]);
    }
  }
}

TEST_F(PoolTest, AFailingWriteUndoesNoOther) {
  database_.Run("insert into t values (7), (40)");
  const auto executions = Run(kInsert, Range(0, 100));
  for (size_t i = 0; i < executions.size(); ++i) {
    const absl::Status& status = executions[i]->status;
    if (i == 7 || i == 40) {
      EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
      EXPECT_EQ(Reason(status), "ROW_EXISTS");
      EXPECT_THAT(Facts(status), ::testing::ElementsAre(::testing::Pair("constraint", "t_pkey")));
    } else {
      EXPECT_TRUE(status.ok()) << i << ": " << status;
    }
  }
  EXPECT_EQ(Count(), "100");
}

TEST_F(PoolTest, AWriteTellsItsTransaction) {
  database_.Run("insert into t values (7)");
  wants_transaction_ = true;
  const auto executions = Run(kInsert, Range(0, 100));
  int told = 0;
  for (size_t i = 0; i < executions.size(); ++i) {
    if (!executions[i]->transaction) continue;
    ++told;
    EXPECT_EQ(database_.Value("select xmin from t where id = " + std::to_string(i)),
              std::to_string(static_cast<uint32_t>(*executions[i]->transaction)));
  }
  EXPECT_GT(told, 0);
  EXPECT_FALSE(executions[7]->transaction) << "it failed";

  const Statement idle{"Test/Idle", "update t set id = id where id = $1 and false", false};
  EXPECT_FALSE(Run(idle, {7})[0]->transaction) << "it changed nothing";
}

TEST_F(PoolTest, AFailureAtTheCommitIsItsOwnCallersAlone) {
  database_.Run("insert into t select generate_series(0, 63)");
  std::vector<int64_t> values = Range(0, 64);
  values[20] = 999;
  const auto executions = Run(kChild, values);
  for (size_t i = 0; i < executions.size(); ++i) {
    EXPECT_EQ(executions[i]->status.code(),
              i == 20 ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kOk)
        << i;
  }
  EXPECT_EQ(database_.Value("select count(*) from child"), "63");
}

TEST_F(PoolTest, AReadLaneCannotWrite) {
  const Statement lying = {"Test/Lying", "insert into t values ($1)", true};
  const auto executions = Run(lying, {1});
  EXPECT_EQ(Reason(executions[0]->status), "READ_ONLY");
  EXPECT_EQ(Count(), "0");
}

TEST_F(PoolTest, AStatementThatCannotBePreparedFailsAlone) {
  const Statement wrong = {"Test/Wrong", "select no_such_column, $1::bigint", true};
  auto good = Begin(kEcho, Range(0, 20));
  auto bad = Begin(wrong, {1});
  auto more = Begin(kEcho, Range(0, 20));
  Wait();
  EXPECT_EQ(Reason(bad[0]->status), "SCHEMA_MISMATCH");
  for (const auto& execution : good) EXPECT_TRUE(execution->status.ok());
  for (const auto& execution : more) EXPECT_TRUE(execution->status.ok());
  // It is prepared anew when it is tried again.
  database_.Run("create function no_such_function() returns bigint language sql as 'select 1'");
  EXPECT_EQ(Reason(Run(wrong, {1})[0]->status), "SCHEMA_MISMATCH");
}

TEST_F(PoolTest, WhatWaitsTooLongIsNotBegun) {
  testing::Transaction gate = Close(1);
  auto holder = Hold(kPass, 1);
  auto late = Begin(kInsert, {1}, std::chrono::milliseconds(-1));
  auto waiting = Begin(kEcho, {1}, std::chrono::milliseconds(20));
  std::this_thread::sleep_until(waiting[0]->deadline);
  gate.End();
  Wait();
  EXPECT_TRUE(holder[0]->status.ok()) << holder[0]->status;
  EXPECT_EQ(late[0]->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Count(), "0");
  EXPECT_EQ(waiting[0]->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(waiting[0]->attempts, 0);
}

TEST_F(PoolTest, WhatNobodyWaitsForIsNotBegun) {
  cancelled_ = true;
  EXPECT_EQ(Run(kInsert, {1})[0]->status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Count(), "0");
}

TEST_F(PoolTest, LostConnectionsAreOpenedAgain) {
  const std::string kill =
      "select count(pg_terminate_backend(pid)) from pg_stat_activity "
      "where datname = current_database() and application_name = 'twi-data'";
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(database_.Value(kill), "5");
    // What comes at once waits for the new connection.
    const auto reads = Run(kEcho, Range(0, 50));
    for (const auto& read : reads) EXPECT_TRUE(read->status.ok()) << read->status;
    // It may not have seen all of them go yet.
    EXPECT_TRUE(Eventually([&] { return pool_->numbers().lost == 5 * (round + 1); }));
    ASSERT_TRUE(pool_->WaitConnected(absl::Seconds(60)).ok());
  }
}

TEST_F(BreakTest, AReadUnderWayWhenTheConnectionBreaksRunsAgain) {
  const Statement locked = {"Test/Locked", "select pg_advisory_xact_lock_shared($1)", true};
  Borrower holder(*pool_);
  ASSERT_TRUE(holder.Borrow().ok());
  EXPECT_TRUE(holder.Run("select pg_advisory_lock(5)").status.ok());
  auto reads = Begin(locked, {5});
  KillWhoRuns("pg_advisory_xact_lock_shared");
  EXPECT_TRUE(holder.Run("select pg_advisory_unlock(5)").status.ok());
  Wait();
  EXPECT_TRUE(reads[0]->status.ok()) << reads[0]->status;
  EXPECT_EQ(reads[0]->attempts, 2);
}

TEST_F(BreakTest, AWriteUnderWayWhenTheConnectionBreaksIsUnknown) {
  const Statement endless = {"Test/Endless", "insert into t select $1 from pg_sleep(600)", false};
  auto writes = Begin(endless, {5});
  KillWhoRuns("pg_sleep(600)");
  Wait();
  EXPECT_EQ(writes[0]->status.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(Reason(writes[0]->status), "OUTCOME_UNKNOWN");
  EXPECT_EQ(writes[0]->attempts, 1);
}

TEST_F(PoolTest, WithoutTheDatabaseNoConnectionCounts) {
  const testing::Transaction gate = Close(1);
  auto held = Hold(kPass, 1);
  Outage outage(database_);
  EXPECT_TRUE(Eventually([this] {
    const PoolNumbers numbers = pool_->numbers();
    return numbers.busy == 0 && numbers.idle == 0;
  }));
  Wait();
  outage.End();
  EXPECT_TRUE(Eventually([this] { return Run(kEcho, {1})[0]->status.ok(); }));
}

TEST_F(PoolTest, WhatWaitsWhenThePoolStopsIsAnswered) {
  const testing::Transaction gate = Close(1);
  auto executions = Begin(kPass, std::vector<int64_t>(200, 1));
  pool_->Stop();
  Wait();
  for (const auto& execution : executions) EXPECT_EQ(Reason(execution->status), "SHUTTING_DOWN");
  EXPECT_EQ(Reason(Run(kEcho, {1})[0]->status), "SHUTTING_DOWN");
}

TEST_F(PoolTest, WhatWouldWaitBeyondItsDeadlineIsRefusedAtOnce) {
  const Statement sleep = {"Test/Sleep", "select pg_sleep(0.1), $1::bigint", true};
  Run(sleep, {1});
  // From now on the lane takes itself for slow, with which 200 waiting are some seconds.
  testing::Transaction gate = Close(1);
  auto holder = Hold(kPass, 1);
  auto waiting = Begin(kEcho, Range(0, 200), std::chrono::hours(1));
  const auto late = Begin(kEcho, {1}, std::chrono::seconds(1));
  EXPECT_EQ(late[0]->status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Reason(late[0]->status), "OVERLOADED");
  const auto patient = Begin(kEcho, {1}, std::chrono::hours(1));
  gate.End();
  Wait();
  EXPECT_TRUE(patient[0]->status.ok()) << patient[0]->status;
  for (const auto& execution : waiting) EXPECT_TRUE(execution->status.ok());
}

TEST_F(PoolTest, TheLeastConnectionsAreOpenWhenItIsConnected) {
  EXPECT_EQ(Connections(), 5);
  Restart({.min_connections = 9, .read_lanes = 2});
  EXPECT_EQ(Connections(), 9);
  // Two are in reserve.
  Restart({.max_connections = 8, .min_connections = 8});
  EXPECT_EQ(Connections(), 6);
}

TEST_F(PoolTest, AReadTakesTheReadLaneThatIsFree) {
  Restart({.read_lanes = 2});
  testing::Transaction gate = Close(1);
  auto holder = Hold(kPass, 1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(Run(kEcho, {i}, std::chrono::seconds(60), /*besides=*/1)[0]->status.ok());
  }
  EXPECT_EQ(Outstanding(), 1) << "a quick one waited for the slow one";
  gate.End();
  Wait();
}

TEST_F(PoolTest, LanesChangeTheirWornConnectionsUnnoticed) {
  Restart({.max_connections = 6, .read_lanes = 1, .lifetime = absl::Milliseconds(300)});
  const std::string first = database_.Value(
      "select string_agg(pid::text, ',') from pg_stat_activity where datname = current_database() "
      "and application_name = 'twi-data'");
  int most = 0;
  int64_t next = 0;
  for (int rounds = 0; pool_->numbers().closed_lifetime < 20 || rounds < 10; ++rounds) {
    ASSERT_LT(rounds, 10000);
    auto reads = Begin(kEcho, Range(0, 50));
    const auto writes = Run(kInsert, Range(next, next + 50));
    next += 50;
    for (const auto& read : reads) {
      EXPECT_TRUE(read->status.ok()) << read->status;
      EXPECT_EQ(read->attempts, 1);
    }
    for (const auto& write : writes) EXPECT_TRUE(write->status.ok()) << write->status;
    most = std::max(most, Connections());
  }
  EXPECT_EQ(Count(), std::to_string(next));
  EXPECT_EQ(pool_->numbers().lost, 0);
  EXPECT_LE(most, 6);
  // All that were there at the beginning are gone, the lanes' among them.
  EXPECT_EQ(database_.Value("select count(*) from pg_stat_activity where pid in (" + first + ")"),
            "0");
}

TEST_F(PoolTest, StatementsThatTheConnectionHasLostArePreparedAnew) {
  int lost_ones = 0;
  for (const bool read_only : {true, false}) {
    const Statement forget = {"Test/Forget", "deallocate all", read_only};
    const Statement& statement = read_only ? kEcho : kInsert;
    Run(statement, Range(0, 40));
    for (int64_t round = 1; round <= 3; ++round) {
      // Without parameters.
      Execution lost;
      lost.statement = &forget;
      lost.done = [this] { Done(); };
      ASSERT_TRUE(Submit(&lost));
      Wait();
      ASSERT_TRUE(lost.status.ok()) << lost.status;
      const auto again = Run(statement, Range(100 * round, 100 * round + 40));
      for (const auto& one : again) EXPECT_TRUE(one->status.ok()) << one->status;
      lost_ones += again[0]->attempts > 1;
    }
  }
  EXPECT_EQ(lost_ones, 6);
  EXPECT_EQ(Count(), "160");
}

TEST_F(PoolTest, AChangedTableIsNoFailureOfWhatTravelsAlong) {
  const Statement rows = {"Test/Rows", "select t.*, $1::bigint from t", true};
  Run(rows, Range(0, 5));
  Run(kEcho, Range(0, 5));
  database_.Run("alter table t add column more text");
  auto echoes = Begin(kEcho, Range(0, 40));
  const auto changed = Run(rows, Range(0, 40));
  for (const auto& one : changed) {
    EXPECT_TRUE(one->status.ok()) << one->status;
    EXPECT_EQ(one->rows.columns(), 3);
  }
  for (const auto& one : echoes) EXPECT_TRUE(one->status.ok()) << one->status;
  // It was nobody's fault, so it shares batches again at once.
  int batched = 0;
  for (const auto& one : Run(rows, Range(0, 100))) batched += !one->solo;
  EXPECT_GT(batched, 0);
}

TEST(PoolWithoutDatabaseTest, RefusesAtOnceAndSaysWhy) {
  Pool pool({.dsn = "host=/nonexistent dbname=none"});
  const absl::Status status = pool.WaitConnected(absl::Milliseconds(500));
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("/nonexistent"));
  Execution execution;
  execution.statement = &kEcho;
  execution.parameters.Add(Int8(1));
  EXPECT_FALSE(pool.Submit(&execution));
  EXPECT_EQ(Reason(execution.status), "DATABASE_UNAVAILABLE");
  // Nothing of the DSN is told to callers.
  EXPECT_THAT(std::string(execution.status.message()),
              ::testing::Not(::testing::HasSubstr("nonexistent")));
}

}  // namespace
}  // namespace twi::sql

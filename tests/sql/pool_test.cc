#include "sql/pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "sql/errors.h"
#include "tests/support/database.h"

namespace twi::sql {
namespace {

using ::testing::AnyOf;

std::string Int8(int64_t value) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (56 - 8 * i));
  return bytes;
}

int64_t Int8Of(const Rows& rows) {
  int64_t value = 0;
  for (unsigned char byte : rows.value(0, 0)) value = value << 8 | byte;
  return value;
}

const Statement kEcho = {"Test/Echo", "select $1::bigint", true};
// Fails for the parameter 0 only.
const Statement kDivide = {"Test/Divide", "select 100 / $1::bigint", true};
const Statement kInsert = {"Test/Insert", "insert into t values ($1) returning id", false};
const Statement kSleep = {"Test/Sleep", "select pg_sleep(0.3), $1::bigint", true};
const Statement kSlowInsert = {
    "Test/SlowInsert", "insert into t select $1 from (select pg_sleep(0.5)) s returning id", false};
// Deferred: it fails when the batch commits, and not in its own answer.
const Statement kChild = {"Test/Child", "insert into child values ($1)", false};

class PoolTest : public ::testing::Test {
 protected:
  PoolTest() {
    database_.Run(
        "create table t (id bigint primary key check (id < 1000000));"
        "create table child (id bigint references t deferrable initially deferred)");
    pool_ = std::make_unique<Pool>(PoolOptions{.dsn = database_.dsn()});
    EXPECT_TRUE(pool_->WaitConnected(absl::Seconds(20)).ok());
  }

  /// Runs `statement` for each value at once and waits for all, whatever else is under way.
  std::vector<std::unique_ptr<Execution>> Run(const Statement& statement,
                                              const std::vector<int64_t>& values,
                                              Clock::duration timeout = std::chrono::seconds(60),
                                              int besides = 0) {
    auto executions = Begin(statement, values, timeout);
    Wait(besides);
    return executions;
  }

  std::vector<std::unique_ptr<Execution>> Begin(
      const Statement& statement, const std::vector<int64_t>& values,
      Clock::duration timeout = std::chrono::seconds(60)) {
    std::vector<std::unique_ptr<Execution>> executions;
    for (int64_t value : values) {
      auto execution = std::make_unique<Execution>();
      execution->statement = &statement;
      execution->parameters.Add(Int8(value));
      execution->deadline = Clock::now() + timeout;
      execution->cancelled = &cancelled_;
      execution->done = [this] { Done(); };
      {
        std::lock_guard lock(mutex_);
        ++outstanding_;
      }
      if (!pool_->Submit(execution.get())) Done();
      executions.push_back(std::move(execution));
    }
    return executions;
  }

  /// Until no more than `besides` executions are without an answer.
  void Wait(int besides = 0) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(
        changed_.wait_for(lock, std::chrono::seconds(60), [&] { return outstanding_ <= besides; }));
  }

  int Outstanding() {
    std::lock_guard lock(mutex_);
    return outstanding_;
  }

  /// Scales counts down under sanitizers.
  static double Load() {
    const char* load = std::getenv("TWI_TEST_LOAD");
    return load == nullptr ? 1 : std::atof(load);
  }

  void Done() {
    // Notified under the lock: the test may end as soon as it is free.
    std::lock_guard lock(mutex_);
    --outstanding_;
    changed_.notify_all();
  }

  std::string Count() { return database_.Value("select count(*) from t"); }

  testing::Database database_;
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  int outstanding_ = 0;
  std::unique_ptr<Pool> pool_;
};

std::vector<int64_t> Range(int64_t begin, int64_t end) {
  std::vector<int64_t> values;
  for (int64_t i = begin; i < end; ++i) values.push_back(i);
  return values;
}

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
  auto slow = Begin(kSleep, {1});
  auto late = Begin(kInsert, {1}, std::chrono::milliseconds(-1));
  auto waiting = Begin(kEcho, {1}, std::chrono::milliseconds(50));
  Wait();
  EXPECT_TRUE(slow[0]->status.ok()) << slow[0]->status;
  EXPECT_EQ(late[0]->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Count(), "0");
  // It waited behind the sleep, or travelled with it and was answered.
  EXPECT_THAT(waiting[0]->status.code(),
              AnyOf(absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kOk));
}

TEST_F(PoolTest, AStatementEndsSoonAfterItsDeadline) {
  const Statement endless = {"Test/Endless", "select pg_sleep(60), $1::bigint", true};
  const auto begin = Clock::now();
  const auto executions = Run(endless, {1}, std::chrono::milliseconds(200));
  EXPECT_EQ(executions[0]->status.code(), absl::StatusCode::kDeadlineExceeded);
  // statement_timeout is a power of two of milliseconds, at most four times too long.
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(10));
  EXPECT_TRUE(Run(kEcho, {1})[0]->status.ok());
}

TEST_F(PoolTest, AWriteThatWaitsForALockHoldsUpNoOther) {
  // Inserts 7 and keeps the key locked until the end of its sleep.
  std::thread holder(
      [this] { database_.Run("begin; insert into t values (7); select pg_sleep(1.5); rollback"); });
  while (database_.Value("select count(*) from pg_stat_activity where query like 'begin; insert%' "
                         "and state = 'active'") != "1") {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  auto blocked = Begin(kInsert, {7});
  const auto others = Run(kInsert, Range(100, 150), std::chrono::seconds(60), /*besides=*/1);
  for (const auto& other : others) EXPECT_TRUE(other->status.ok()) << other->status;
  EXPECT_EQ(Outstanding(), 1) << "the blocked write came before the others, or with them";
  Wait();
  EXPECT_TRUE(blocked[0]->status.ok()) << blocked[0]->status;
  EXPECT_TRUE(blocked[0]->solo);
  EXPECT_EQ(Count(), "51");
  holder.join();
}

TEST_F(PoolTest, ASlowStatementHoldsUpNoOtherOnceItIsKnown) {
  EXPECT_TRUE(Run(kSleep, {1})[0]->status.ok());
  auto slow = Begin(kSleep, Range(0, 5));
  const auto quick = Run(kEcho, Range(0, 200), std::chrono::seconds(60), /*besides=*/5);
  for (const auto& execution : quick) EXPECT_TRUE(execution->status.ok());
  EXPECT_EQ(Outstanding(), 5) << "the quick ones waited for the slow ones";
  Wait();
  for (const auto& execution : slow) EXPECT_TRUE(execution->solo);
}

TEST_F(PoolTest, AWriteThatFailsABatchTravelsAloneAfterwards) {
  const Statement other = {"Test/Other", "insert into t values ($1)", false};
  database_.Run("insert into t values (7)");
  Run(kInsert, Range(0, 40));
  auto failing = Begin(kInsert, Range(0, 40));
  auto good = Begin(other, Range(100, 140));
  Wait();
  for (const auto& execution : failing) {
    EXPECT_TRUE(execution->solo);
    EXPECT_EQ(Reason(execution->status), "ROW_EXISTS");
  }
  for (const auto& execution : good) {
    EXPECT_TRUE(execution->status.ok());
    EXPECT_EQ(execution->attempts, 1) << "another statement's failure undid it";
  }
}

TEST_F(PoolTest, WhatRunsAloneIsCancelledWhenItIsTooLateOrUnwanted) {
  const Statement endless = {"Test/Endless", "select pg_sleep(60), $1::bigint", true};
  const auto running = [this] {
    return database_.Value(
        "select count(*) from pg_stat_activity where state = 'active' and query like "
        "'select pg_sleep(60)%'");
  };
  // The first is stopped by the lane's statement_timeout and makes the statement known.
  Run(endless, {1}, std::chrono::milliseconds(50));
  Run(endless, {1}, std::chrono::milliseconds(50));
  auto late = Run(endless, Range(0, 4), std::chrono::milliseconds(300));
  for (const auto& execution : late) {
    EXPECT_EQ(execution->status.code(), absl::StatusCode::kDeadlineExceeded);
  }
  auto unwanted = Begin(endless, Range(0, 4));
  while (running() != "4") std::this_thread::sleep_for(std::chrono::milliseconds(10));
  cancelled_ = true;
  Wait();
  for (const auto& execution : unwanted) {
    EXPECT_EQ(execution->status.code(), absl::StatusCode::kCancelled);
  }
  EXPECT_EQ(running(), "0");
}

TEST_F(PoolTest, ACancelHitsNobodyElse) {
  const Statement endless = {"Test/Endless", "select pg_sleep(60), $1::bigint", true};
  const Statement brief = {"Test/Brief", "select pg_sleep(0.006), $1::bigint", true};
  // Both are known to be slow, so they share the connections that run one statement at a time.
  Run(endless, {1}, std::chrono::milliseconds(50));
  Run(endless, {1}, std::chrono::milliseconds(50));
  Run(brief, {1});
  const int rounds = std::max(5, static_cast<int>(50 * Load()));
  for (int round = 0; round < rounds; ++round) {
    auto cancelled = Begin(endless, Range(0, 4), std::chrono::milliseconds(15));
    auto neighbours = Begin(brief, Range(0, 12));
    Wait();
    for (const auto& execution : neighbours) {
      ASSERT_TRUE(execution->status.ok()) << execution->status;
      ASSERT_EQ(execution->attempts, 1) << "it was cancelled and ran again";
    }
  }
  EXPECT_LE(database_.Value("select count(*) from pg_stat_activity where datname = "
                            "current_database() and application_name = 'twi-data'"),
            "20");
}

TEST_F(PoolTest, DeadlocksWithOthersEndWell) {
  database_.Run("insert into t values (1), (2)");
  const Statement up = {"Test/Up", "update t set id = id where id = 1 and $1::bigint >= 0", false};
  const Statement both = {"Test/Both",
                          "with a as (update t set id = id where id = 2 returning id) "
                          "update t set id = t.id from a where t.id = 1 and $1::bigint >= 0",
                          false};
  std::vector<std::unique_ptr<Execution>> all;
  for (int i = 0; i < 20; ++i) {
    for (const Statement* statement : {&up, &both}) {
      for (auto& execution : Begin(*statement, Range(0, 5))) all.push_back(std::move(execution));
    }
  }
  Wait();
  for (const auto& execution : all) EXPECT_TRUE(execution->status.ok()) << execution->status;
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
    EXPECT_EQ(database_.Value(kill), "2");
    // What comes at once waits for the new connection.
    const auto reads = Run(kEcho, Range(0, 50));
    for (const auto& read : reads) EXPECT_TRUE(read->status.ok()) << read->status;
    ASSERT_TRUE(pool_->WaitConnected(absl::Seconds(10)).ok());
  }
  EXPECT_EQ(pool_->numbers().lost, 6);
}

TEST_F(PoolTest, AReadUnderWayWhenTheConnectionBreaksRunsAgain) {
  auto reads = Begin(kSleep, {5});
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  database_.Run(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(0.3)%' "
      "and pid <> pg_backend_pid()");
  Wait();
  EXPECT_TRUE(reads[0]->status.ok()) << reads[0]->status;
  EXPECT_EQ(reads[0]->attempts, 2);
}

TEST_F(PoolTest, AWriteUnderWayWhenTheConnectionBreaksIsUnknown) {
  auto writes = Begin(kSlowInsert, {5});
  writes[0]->idempotent = false;
  std::this_thread::sleep_for(std::chrono::milliseconds(150));
  database_.Run(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(0.5)%' "
      "and pid <> pg_backend_pid()");
  Wait();
  EXPECT_EQ(writes[0]->status.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(Reason(writes[0]->status), "OUTCOME_UNKNOWN");
  EXPECT_EQ(writes[0]->attempts, 1);
}

TEST_F(PoolTest, WhatWaitsWhenThePoolStopsIsAnswered) {
  auto executions = Begin(kSleep, Range(0, 200));
  pool_->Stop();
  Wait();
  for (const auto& execution : executions) {
    EXPECT_THAT(Reason(execution->status), AnyOf("", "SHUTTING_DOWN"));
  }
  EXPECT_EQ(Reason(Run(kEcho, {1})[0]->status), "SHUTTING_DOWN");
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

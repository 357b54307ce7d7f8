#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "sql/flow.h"
#include "sql/pool.h"
#include "tests/support/database.h"

namespace twi::sql {

inline std::string Int8(int64_t value) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (56 - 8 * i));
  return bytes;
}

inline int64_t Int8At(const Rows& rows, int row, int column) {
  int64_t value = 0;
  for (unsigned char byte : rows.value(row, column)) value = value << 8 | byte;
  return value;
}

inline int64_t Int8Of(const Rows& rows) { return Int8At(rows, 0, 0); }

inline const Statement kEcho = {"Test/Echo", "select $1::bigint", true};
// Fails for the parameter 0 only.
inline const Statement kDivide = {"Test/Divide", "select 100 / $1::bigint", true};
inline const Statement kInsert = {"Test/Insert", "insert into t values ($1) returning id", false};
// Ends when nobody keeps the gate closed, and returns its number.
inline const Statement kPass = {"Test/Pass", "select pass($1)", true};
inline const Statement kPassAndInsert = {"Test/PassAndInsert",
                                         "insert into t select pass($1) returning id", false};
// Deferred: it fails when the batch commits, and not in its own answer.
inline const Statement kChild = {"Test/Child", "insert into child values ($1)", false};

/// Until its end the database lets nobody connect; the pool's connections to it are gone.
class Outage {
 public:
  explicit Outage(const testing::Database& database)
      : name_(database.Value("select current_database()")) {
    elsewhere_.Run("alter database " + name_ + " allow_connections false");
    elsewhere_.Run(
        "select pg_terminate_backend(pid, 60000) from pg_stat_activity where "
        "application_name = 'twi-data' and datname = '" +
        name_ + "'");
  }
  void End() { elsewhere_.Run("alter database " + name_ + " allow_connections true"); }

 private:
  const std::string name_;
  const testing::Database elsewhere_;
};

class PoolTest : public ::testing::Test {
 protected:
  /// What is slow for the pool: unless a test wants it, nothing ever is, however busy the machine,
  /// so that statements travel in the lanes.
  explicit PoolTest(absl::Duration slow = absl::InfiniteDuration()) : slow_(slow) {
    // A gate polls: for a lock, the write lane does not wait.
    database_.Run(
        "create table t (id bigint primary key check (id < 1000000));"
        "create table child (id bigint references t deferrable initially deferred);"
        "create function pass(gate bigint) returns bigint language plpgsql as $$ begin "
        "while not pg_try_advisory_xact_lock_shared(gate) loop perform pg_sleep(0.002); end loop; "
        "return gate; end $$");
    Restart({});
  }

  /// A pool with other options instead, on the test's database.
  void Restart(PoolOptions options) {
    pool_.reset();
    // The server is some moments behind.
    EXPECT_TRUE(Eventually([this] { return Connections() == 0; }));
    options.dsn = database_.dsn();
    options.slow = slow_;
    options.max_wait = max_wait_;
    pool_ = std::make_unique<Pool>(options);
    ASSERT_TRUE(pool_->WaitConnected(absl::Seconds(60)).ok());
  }

  /// Keeps a gate closed.
  testing::Transaction Close(int64_t gate) const {
    return {database_, "select pg_advisory_xact_lock(" + std::to_string(gate) + ")"};
  }

  /// How many connections the pool has as the database sees it.
  int Connections() const {
    return std::stoi(
        database_.Value("select count(*) from pg_stat_activity where datname = current_database() "
                        "and application_name = 'twi-data'"));
  }

  /// How many statements with these words the database runs for the pool.
  int Running(const std::string& words) const {
    return std::stoi(
        database_.Value("select count(*) from pg_stat_activity where state = 'active' and "
                        "datname = current_database() and pid <> pg_backend_pid() and "
                        "query like '%" +
                        words + "%'"));
  }

  /// True as soon as `condition` is, false after a minute without.
  template <typename Condition>
  static bool Eventually(Condition condition) {
    const auto end = Clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      if (Clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
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

  /// Begins a statement that waits at a gate, and waits until that holds up a lane.
  std::vector<std::unique_ptr<Execution>> Hold(const Statement& statement, int64_t gate) {
    auto holder = Begin(statement, {gate});
    EXPECT_TRUE(Eventually([this] { return pool_->numbers().busy == 1; }));
    return holder;
  }

  /// Makes a statement known as one that runs alone.
  void MakeSlow(const Statement& statement) {
    testing::Transaction gate = Close(0);
    auto slow = Hold(statement, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    gate.End();
    Wait();
    EXPECT_TRUE(slow[0]->status.ok()) << slow[0]->status;
  }

  std::vector<std::unique_ptr<Execution>> Begin(
      const Statement& statement, const std::vector<int64_t>& values,
      Clock::duration timeout = std::chrono::seconds(60)) {
    std::vector<std::unique_ptr<Execution>> executions;
    for (int64_t value : values) {
      auto execution = std::make_unique<Execution>();
      execution->statement = &statement;
      execution->parameters.Add(Int8(value));
      execution->wants_transaction = wants_transaction_;
      execution->flow = flow_;
      execution->deadline = Clock::now() + timeout;
      execution->cancelled = &cancelled_;
      execution->done = [this] { Done(); };
      Submit(execution.get());
      executions.push_back(std::move(execution));
    }
    return executions;
  }

  /// Hands over an execution or a loan whose `done` says Done. False when it was refused, which has
  /// said so, too.
  template <typename Asked>
  bool Submit(Asked* asked) {
    {
      std::lock_guard lock(mutex_);
      ++outstanding_;
    }
    if (pool_->Submit(asked)) return true;
    Done();
    return false;
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

  const absl::Duration slow_;
  /// For the next pool: unless a test wants it, none refuses what waits for long.
  absl::Duration max_wait_ = absl::InfiniteDuration();
  testing::Database database_;
  std::atomic<bool> cancelled_{false};
  /// Executions are asked for their transactions.
  bool wants_transaction_ = false;
  /// They outlive the pool.
  std::array<Flow, 4> flows_;
  /// Whose executions are.
  const Flow* flow_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  int outstanding_ = 0;
  std::unique_ptr<Pool> pool_;
};

inline std::vector<int64_t> Range(int64_t begin, int64_t end) {
  std::vector<int64_t> values;
  for (int64_t i = begin; i < end; ++i) values.push_back(i);
  return values;
}

}  // namespace twi::sql

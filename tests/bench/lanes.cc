// What the settings of the lanes are worth: executions a second of a pool by itself. See README.md.

#include <benchmark/benchmark.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sql/pool.h"
#include "tests/support/database.h"

namespace twi::sql {
namespace {

constexpr int kRows = 10'000;
constexpr int kCallsOfRun = 20'000;

const Statement kRead = {"Bench/Read", "select body from row where id = ($1::jsonb->0->>'n')::int"};
const Statement kWrite = {
    "Bench/Write",
    "with request as (select _call, (request->>'n')::int as n"
    " from jsonb_array_elements($1) with ordinality r (request, _call)),"
    " written as (insert into counts as c (n) select n from request order by n"
    " on conflict (n) do update set times = c.times + 1 returning c.n, c.times)"
    " select w.times, r._call from request r join written w using (n)",
    false, /*set=*/true};

/// So many callers, each of whom calls again as soon as he has his answer. Not the pool's thread
/// begins a call, but another, as in a server.
class Callers {
 public:
  Callers(Pool& pool, const Statement& statement, size_t count) : pool_(pool) {
    for (size_t i = 0; i < count; ++i) {
      auto execution = std::make_unique<Execution>();
      execution->statement = &statement;
      execution->done = [this, it = execution.get()] { Answered(it); };
      answered_.push_back(execution.get());
      executions_.push_back(std::move(execution));
    }
  }

  /// So many calls and all their answers. False when one failed.
  bool Call(int calls) {
    bool ok = true;
    for (int answers = 0, begun = 0; answers < calls;) {
      Execution* const execution = Next();
      answers += execution->attempts > 0;
      ok = ok && execution->status.ok();
      if (begun == calls) {
        idle_.push_back(execution);
        continue;
      }
      ++begun;
      Begin(execution);
    }
    std::lock_guard lock(mutex_);
    answered_.insert(answered_.end(), idle_.begin(), idle_.end());
    for (Execution* execution : idle_) execution->attempts = 0;
    idle_.clear();
    return ok;
  }

 private:
  void Begin(Execution* execution) {
    const std::string number = absl::StrCat(number_ = (number_ * 7919 + 1) % kRows);
    execution->parameters = {};
    execution->parameters.Add(absl::StrCat("\1[{\"n\": ", number, "}]"));
    if (execution->statement->set) execution->key = number;
    execution->rows = Rows();
    execution->attempts = 0;
    if (!pool_.Submit(execution)) Answered(execution);
  }
  void Answered(Execution* execution) {
    {
      std::lock_guard lock(mutex_);
      answered_.push_back(execution);
    }
    changed_.notify_one();
  }
  Execution* Next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !answered_.empty(); });
    Execution* const execution = answered_.front();
    answered_.pop_front();
    return execution;
  }

  Pool& pool_;
  std::vector<std::unique_ptr<Execution>> executions_;
  int number_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Execution*> answered_;
  std::vector<Execution*> idle_;
};

/// The database of all runs.
class Tables : public testing::Database {
 public:
  Tables() {
    Run(
        absl::StrCat("create table row (id int primary key, body text not null);"
                     "insert into row select i, repeat('x', 100) from generate_series(0, ",
                     kRows - 1,
                     ") i;"
                     "create table counts (n int primary key, times bigint default 1);"
                     "analyze"));
  }
};

void Measure(benchmark::State& state, const Statement& statement, PoolOptions options) {
  static const Tables kTables;
  options.dsn = kTables.dsn();
  options.slow = absl::InfiniteDuration();
  Pool pool(options);
  if (!pool.WaitConnected(absl::Seconds(20)).ok()) return state.SkipWithError("not connected");
  Callers callers(pool, statement, static_cast<size_t>(state.range(1)));
  for (auto _ : state) {
    if (!callers.Call(kCallsOfRun)) return state.SkipWithError("a call failed");
  }
  state.SetItemsProcessed(state.iterations() * kCallsOfRun);
  pool.Stop();
}

void ReadsByStatements(benchmark::State& state) {
  const BatchLimits limits = {.statements = static_cast<size_t>(state.range(0))};
  Measure(state, kRead, {.batch = limits});
}
void ReadsByLanes(benchmark::State& state) {
  Measure(state, kRead, {.read_lanes = static_cast<int>(state.range(0))});
}
void WritesByCallers(benchmark::State& state) {
  const BatchLimits limits = {.callers = static_cast<size_t>(state.range(0))};
  Measure(state, kWrite, {.batch = limits});
}

void Runs(benchmark::internal::Benchmark* benchmark) {
  benchmark->UseRealTime()->Unit(benchmark::kMillisecond);
}

BENCHMARK(ReadsByStatements)
    ->Apply(Runs)
    ->ArgNames({"statements", "outstanding"})
    ->ArgsProduct({{1, 8, 32, 128}, {64, 256}});
BENCHMARK(ReadsByLanes)
    ->Apply(Runs)
    ->ArgNames({"lanes", "outstanding"})
    ->ArgsProduct({{1, 2}, {1, 64, 256}});
BENCHMARK(WritesByCallers)
    ->Apply(Runs)
    ->ArgNames({"callers", "outstanding"})
    ->ArgsProduct({{1, 32, 128, 512}, {64, 512}});

}  // namespace
}  // namespace twi::sql

BENCHMARK_MAIN();

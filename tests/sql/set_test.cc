// Callers that share one statement, each with its own answer.

#include <algorithm>

#include "sql/errors.h"
#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

constexpr char kRequests[] = "from jsonb_array_elements($1) with ordinality r (request, _call)";

// Answers how many callers were in the statement, and the number of each.
const Statement kTogether = {
    "Test/Together",
    std::string("select jsonb_array_length($1)::bigint, _call, (request->>'n')::bigint as n ") +
        kRequests + " order by _call desc",
    true, /*set=*/true};
// Answers each with the numbers below its own.
const Statement kBelow = {"Test/Below",
                          std::string("select i as below, _call ") + kRequests +
                              ", generate_series(1, (request->>'n')::bigint - 1) i",
                          true, /*set=*/true};
// Fails when a number comes twice in one statement, and for a million.
const Statement kCount = {
    "Test/Count",
    std::string("with request as (select _call, (request->>'n')::bigint as n ") + kRequests +
        "), written as (insert into counts as c (n) select n from request "
        "on conflict (n) do update set times = c.times + 1 returning c.n, c.times) "
        "select w.times, r._call from request r join written w on w.n = r.n",
    false, /*set=*/true};
// Fails at the commit, without a parent.
const Statement kChildren = {
    "Test/Children", std::string("insert into child select (request->>'n')::bigint ") + kRequests,
    false,
    /*set=*/true};

// Takes 2 ms for each caller, and answers how many they were.
const Statement kNap = {
    "Test/Nap",
    std::string("select jsonb_array_length($1)::bigint, _call, pg_sleep(0.002)::text ") + kRequests,
    true, /*set=*/true};

class SetTest : public PoolTest {
 protected:
  explicit SetTest(absl::Duration slow = absl::InfiniteDuration()) : PoolTest(slow) {
    database_.Run(
        "alter table t drop constraint t_id_check;"
        "create table counts (n bigint primary key check (n < 1000000), times bigint not null "
        "default 1)");
  }

  /// One caller for each of `values`, all there before any is sent; waits for all but some.
  std::vector<std::unique_ptr<Execution>> Gather(const Statement& statement,
                                                 const std::vector<int64_t>& values,
                                                 int besides = 0) {
    // What waits behind a batch under way is the next one.
    testing::Transaction gate = Close(1000001);
    auto first = Hold(statement.read_only ? kPass : kPassAndInsert, 1000001);
    std::vector<std::unique_ptr<Execution>> executions;
    for (int64_t value : values) {
      auto execution = std::make_unique<Execution>();
      execution->statement = &statement;
      execution->parameters.Add("\1[{\"n\": " + std::to_string(value) + "}]");
      execution->key = std::to_string(value);
      execution->deadline = Clock::now() + std::chrono::seconds(60);
      execution->done = [this] { Done(); };
      Submit(execution.get());
      executions.push_back(std::move(execution));
    }
    gate.End();
    Wait(besides);
    return executions;
  }
};

/// With the time that is slow for the service: a statement is cut off after 100 ms.
class SlowSetTest : public SetTest {
 protected:
  SlowSetTest() : SetTest(absl::Milliseconds(5)) {}
};

TEST_F(SetTest, EachOfManyInOneStatementGetsItsOwnRow) {
  std::vector<int64_t> together;
  const auto executions = Gather(kTogether, Range(1000, 1200));
  for (size_t i = 0; i < executions.size(); ++i) {
    ASSERT_TRUE(executions[i]->status.ok()) << executions[i]->status;
    ASSERT_EQ(executions[i]->rows.size(), 1);
    EXPECT_EQ(Int8At(executions[i]->rows, 0, 2), 1000 + static_cast<int64_t>(i));
    together.push_back(Int8At(executions[i]->rows, 0, 0));
  }
  EXPECT_GT(*std::ranges::max_element(together), 32) << "callers hardly share statements";
  EXPECT_LE(*std::ranges::max_element(together), 128);
}

TEST_F(SetTest, EachGetsAllItsRowsOrNone) {
  const auto executions = Gather(kBelow, {3, 1, 5});
  ASSERT_EQ(executions[0]->rows.size(), 2);
  EXPECT_EQ(Int8At(executions[0]->rows, 0, 0), 1);
  EXPECT_EQ(Int8At(executions[0]->rows, 1, 0), 2);
  EXPECT_EQ(executions[1]->rows.size(), 0);
  EXPECT_EQ(executions[1]->rows.columns(), 2);
  EXPECT_EQ(executions[2]->rows.size(), 4);
}

TEST_F(SetTest, AKeyIsInAStatementOnce) {
  std::vector<int64_t> values(100, 7);
  std::vector<int64_t> times;
  for (const auto& execution : Gather(kCount, values)) {
    ASSERT_TRUE(execution->status.ok()) << execution->database_message;
    EXPECT_EQ(execution->attempts, 1);
    times.push_back(Int8Of(execution->rows));
  }
  std::ranges::sort(times);
  EXPECT_EQ(times, Range(1, 101));
}

TEST_F(SetTest, WithoutAKeyACallerIsAlone) {
  auto execution = std::make_unique<Execution>();
  auto other = std::make_unique<Execution>();
  testing::Transaction gate = Close(1);
  auto holder = Hold(kPass, 1);
  for (Execution* each : {execution.get(), other.get()}) {
    each->statement = &kTogether;
    each->parameters.Add("\1[{\"n\": 1}]");
    each->deadline = Clock::now() + std::chrono::seconds(60);
    each->done = [this] { Done(); };
    ASSERT_TRUE(Submit(each));
  }
  gate.End();
  Wait();
  EXPECT_EQ(Int8Of(execution->rows), 1);
  EXPECT_EQ(Int8Of(other->rows), 1);
}

TEST_F(SetTest, AFailureIsItsOwnCallersAlone) {
  std::vector<int64_t> values = Range(1, 100);
  values[40] = 1000000;
  const auto executions = Gather(kCount, values);
  for (size_t i = 0; i < executions.size(); ++i) {
    if (i == 40) {
      EXPECT_EQ(Reason(executions[i]->status), "CONSTRAINT_VIOLATED");
    } else {
      ASSERT_TRUE(executions[i]->status.ok()) << executions[i]->status;
      EXPECT_EQ(Int8Of(executions[i]->rows), 1) << "done more than once";
    }
  }
  EXPECT_EQ(database_.Value("select count(*) || ' ' || max(times) from counts"), "98 1");
}

TEST_F(SetTest, AFailureAtTheCommitIsItsOwnCallersAlone) {
  database_.Run("insert into t select generate_series(1, 60)");
  std::vector<int64_t> values = Range(1, 60);
  values[10] = 99;
  const auto executions = Gather(kChildren, values);
  for (size_t i = 0; i < executions.size(); ++i) {
    EXPECT_EQ(executions[i]->status.ok(), i != 10) << executions[i]->status;
  }
  EXPECT_EQ(Reason(executions[10]->status), "FOREIGN_KEY_MISSING");
  EXPECT_EQ(database_.Value("select count(*) from child"), "58");
}

TEST_F(SlowSetTest, TooManyForOneStatementAreSharedOutAndNotSlow) {
  // All take 128 * 2 ms at once, more than a statement may in a lane.
  for (int round = 0; round < 2; ++round) {
    int64_t most = 0;
    int most_attempts = 0;
    for (const auto& execution : Gather(kNap, Range(1, 129))) {
      ASSERT_TRUE(execution->status.ok()) << execution->status;
      ASSERT_EQ(execution->rows.size(), 1);
      most = std::max(most, Int8At(execution->rows, 0, 0));
      most_attempts = std::max(most_attempts, execution->attempts);
    }
    EXPECT_GT(most, 16) << "they travel alone";
    EXPECT_GT(most_attempts, 1);
  }
}

TEST_F(SetTest, ALockedRowHoldsUpItsOwnCallerOnly) {
  database_.Run("insert into counts values (5, 1)");
  testing::Transaction holder(database_, "update counts set times = 10 where n = 5");
  const auto executions = Gather(kCount, Range(1, 10), /*besides=*/1);
  EXPECT_EQ(Outstanding(), 1);
  holder.End();
  Wait();
  for (const auto& execution : executions) {
    ASSERT_TRUE(execution->status.ok()) << execution->status;
  }
  EXPECT_EQ(Int8Of(executions[4]->rows), 2);
  EXPECT_EQ(database_.Value("select sum(times) from counts"), "10");
}

}  // namespace
}  // namespace twi::sql

// Callers of one read that share a statement, each with its own answer.

#include <algorithm>

#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

constexpr Oid kInt8 = 20;
constexpr Oid kInt8Array = 1016;

Statement Read(const std::string& name, const std::string& one, const std::string& several) {
  const std::string callers =
      " from unnest((select $1)) with ordinality _caller (p1, _call) cross join lateral ";
  return {.name = "Test/" + name,
          .text = one,
          .types = {kInt8},
          .several = std::make_shared<const Statement>(
              Statement{.name = "Test/" + name + " (many)",
                        .text = "select _answer.*, _call" + callers + several,
                        .types = {kInt8Array}})};
}

// How many callers were in the statement, and the number of each.
const Statement kTogether =
    Read("Together", "select 1::bigint, $1", "(select cardinality($1)::bigint, p1) _answer");
// Fails for the parameter 0 only.
const Statement kQuotient = Read("Quotient", "select 100 / $1", "(select 100 / p1) _answer");
// Nothing for an odd number, and the number's half twice for an even one.
const Statement kHalves =
    Read("Halves", "select $1 / 2 from generate_series(1, 2) where $1 % 2 = 0",
         "(select p1 / 2 from generate_series(1, 2) where p1 % 2 = 0) _answer");
const Statement kNull =
    Read("Null", "select coalesce($1, -1)", "(select coalesce(p1, -1)) _answer");

class SeveralTest : public PoolTest {
 protected:
  /// Runs `statement` for all of `values`, which are there before any is sent.
  std::vector<std::unique_ptr<Execution>> Gather(const Statement& statement,
                                                 const std::vector<int64_t>& values) {
    testing::Transaction gate = Close(1);
    auto first = Hold(kPass, 1);
    auto executions = Begin(statement, values);
    gate.End();
    Wait();
    return executions;
  }
};

TEST_F(SeveralTest, EachGetsItsOwnRow) {
  std::vector<int64_t> values = Range(1000, 1200);
  values.push_back(1100);  // A read may be asked twice at once.
  int64_t most = 0;
  const auto executions = Gather(kTogether, values);
  for (size_t i = 0; i < executions.size(); ++i) {
    ASSERT_TRUE(executions[i]->status.ok()) << executions[i]->database_message;
    ASSERT_EQ(executions[i]->rows.size(), 1);
    EXPECT_EQ(Int8At(executions[i]->rows, 0, 1), values[i]);
    most = std::max(most, Int8At(executions[i]->rows, 0, 0));
  }
  EXPECT_EQ(most, 128);
}

TEST_F(SeveralTest, WhoIsAloneIsSentAsItIs) {
  const auto executions = Run(kTogether, {7});
  ASSERT_EQ(executions[0]->rows.columns(), 2);
  EXPECT_EQ(Int8At(executions[0]->rows, 0, 0), 1);
  EXPECT_EQ(Int8At(executions[0]->rows, 0, 1), 7);
}

TEST_F(SeveralTest, EachGetsAllItsRowsOrNone) {
  const auto executions = Gather(kHalves, {3, 8, 5, 6});
  ASSERT_EQ(executions[1]->rows.size(), 2);
  EXPECT_EQ(Int8At(executions[1]->rows, 1, 0), 4);
  ASSERT_EQ(executions[3]->rows.size(), 2);
  EXPECT_EQ(Int8At(executions[3]->rows, 0, 0), 3);
  for (const int odd : {0, 2}) EXPECT_EQ(executions[odd]->rows.size(), 0);
}

TEST_F(SeveralTest, ANullIsANull) {
  testing::Transaction gate = Close(1);
  auto first = Hold(kPass, 1);
  auto other = Begin(kNull, {5});
  auto execution = std::make_unique<Execution>();
  execution->statement = &kNull;
  execution->parameters.AddNull();
  execution->deadline = Clock::now() + std::chrono::seconds(60);
  execution->done = [this] { Done(); };
  ASSERT_TRUE(Submit(execution.get()));
  gate.End();
  Wait();
  ASSERT_TRUE(execution->status.ok()) << execution->database_message;
  EXPECT_EQ(Int8Of(execution->rows), -1);
  EXPECT_EQ(Int8Of(other[0]->rows), 5);
}

TEST_F(SeveralTest, AFailureIsItsOwnCallersAlone) {
  std::vector<int64_t> values = Range(1, 100);
  values[40] = 0;
  const auto executions = Gather(kQuotient, values);
  for (size_t i = 0; i < executions.size(); ++i) {
    if (i == 40) {
      EXPECT_FALSE(executions[i]->status.ok());
      EXPECT_EQ(executions[i]->sqlstate, "22012");
    } else {
      ASSERT_TRUE(executions[i]->status.ok()) << executions[i]->database_message;
      EXPECT_EQ(Int8Of(executions[i]->rows), 100 / values[i]);
    }
  }
}

TEST_F(SeveralTest, OthersAreNotMixedIn) {
  testing::Transaction gate = Close(1);
  auto first = Hold(kPass, 1);
  auto quotients = Begin(kQuotient, {1, 2});
  auto echoes = Begin(kEcho, {3});
  auto together = Begin(kTogether, {4, 5, 6});
  auto more = Begin(kQuotient, {4});
  gate.End();
  Wait();
  EXPECT_EQ(Int8Of(quotients[1]->rows), 50);
  EXPECT_EQ(Int8Of(more[0]->rows), 25);
  EXPECT_EQ(Int8Of(echoes[0]->rows), 3);
  for (const auto& each : together) EXPECT_EQ(Int8Of(each->rows), 3);
}

}  // namespace
}  // namespace twi::sql

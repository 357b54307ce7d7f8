#include "sql/lender.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sql/errors.h"
#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

class LenderTest : public PoolTest {
 protected:
  LenderTest() : PoolTest(absl::Milliseconds(5)) {}
};

TEST_F(LenderTest, AWriteThatWaitsForALockHoldsUpNoOther) {
  testing::Transaction holder(database_, "insert into t values (7)");
  auto blocked = Begin(kInsert, {7});
  const auto others = Run(kInsert, Range(100, 150), std::chrono::seconds(60), /*besides=*/1);
  for (const auto& other : others) EXPECT_TRUE(other->status.ok()) << other->status;
  EXPECT_EQ(Outstanding(), 1) << "the blocked write came before the others, or with them";
  holder.End();
  Wait();
  EXPECT_TRUE(blocked[0]->status.ok()) << blocked[0]->status;
  EXPECT_TRUE(blocked[0]->solo);
  EXPECT_EQ(Count(), "51");
}

TEST_F(LenderTest, ASlowStatementHoldsUpNoOtherOnceItIsKnown) {
  MakeSlow(kPass);
  testing::Transaction gate = Close(1);
  auto slow = Begin(kPass, std::vector<int64_t>(5, 1));
  const auto quick = Run(kEcho, Range(0, 200), std::chrono::seconds(60), /*besides=*/5);
  for (const auto& execution : quick) EXPECT_TRUE(execution->status.ok());
  EXPECT_EQ(Outstanding(), 5) << "the quick ones waited for the slow ones";
  gate.End();
  Wait();
  for (const auto& execution : slow) EXPECT_TRUE(execution->solo);
}

TEST_F(LenderTest, WhatNobodyKnowsAsSlowIsCutOffAndGoesOnAlone) {
  for (const auto& [slow, quick] : {std::pair(&kPass, &kEcho), {&kPassAndInsert, &kInsert}}) {
    testing::Transaction gate = Close(1);
    auto held = Begin(*slow, {1});
    // A batch of them, if the first did not yet come back.
    if (slow->read_only) {
      auto more = Begin(*slow, std::vector<int64_t>(5, 1));
      std::ranges::move(more, std::back_inserter(held));
    }
    const int count = static_cast<int>(held.size());
    const auto others = Run(*quick, Range(100, 200), std::chrono::seconds(60), /*besides=*/count);
    for (const auto& other : others) EXPECT_TRUE(other->status.ok()) << other->status;
    EXPECT_EQ(Outstanding(), count) << "the quick ones waited for the slow ones";
    gate.End();
    Wait();
    for (const auto& execution : held) {
      EXPECT_TRUE(execution->status.ok()) << execution->status;
      EXPECT_TRUE(execution->solo);
    }
  }
}

TEST_F(LenderTest, AWriteThatFailsABatchTravelsAloneAfterwards) {
  const Statement other = {"Test/Other", "insert into t values ($1)", false};
  Run(kInsert, Range(0, 40));
  // Each of them fails.
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

TEST_F(LenderTest, WhatRunsAloneIsCancelledWhenItIsTooLateOrUnwanted) {
  const Statement endless = {"Test/Endless", "select pg_sleep(60), $1::bigint", true};
  // The first is cut off in its lane, which makes the statement known.
  EXPECT_EQ(Run(endless, {1}, std::chrono::milliseconds(50))[0]->status.code(),
            absl::StatusCode::kDeadlineExceeded);
  auto late = Run(endless, Range(0, 4), std::chrono::milliseconds(300));
  for (const auto& execution : late) {
    EXPECT_EQ(execution->status.code(), absl::StatusCode::kDeadlineExceeded);
  }
  auto unwanted = Begin(endless, Range(0, 4));
  EXPECT_TRUE(Eventually([this] { return Running("pg_sleep(60)") == 4; }));
  cancelled_ = true;
  Wait();
  for (const auto& execution : unwanted) {
    EXPECT_EQ(execution->status.code(), absl::StatusCode::kCancelled);
  }
  EXPECT_EQ(Running("pg_sleep(60)"), 0);
}

TEST_F(LenderTest, ACancelHitsNobodyElse) {
  const Statement endless = {"Test/Endless", "select pg_sleep(60), $1::bigint", true};
  const Statement brief = {"Test/Brief", "select pg_sleep(0.006), $1::bigint", true};
  // Both are known to be slow, so they share the connections that run one statement at a time.
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
  EXPECT_LE(Connections(), 20);
}

TEST_F(LenderTest, DeadlocksWithOthersEndWell) {
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

class SlowCommitTest : public PoolTest {
 protected:
  SlowCommitTest() : PoolTest(absl::Milliseconds(300)) {}
};

TEST_F(SlowCommitTest, MakesNoStatementTravelAlone) {
  database_.Run(
      "create function sleep() returns trigger language plpgsql as $$ begin"
      "  perform pg_sleep(0.6); return null; end $$;"
      "create constraint trigger sleep after insert on t deferrable initially deferred"
      "  for each row execute function sleep()");
  Run(kInsert, {1});
  // One begins, and the others share the next commit.
  const auto executions = Run(kInsert, {2, 3, 4});
  EXPECT_TRUE(std::ranges::any_of(executions, [](const auto& one) { return !one->solo; }));
  for (const auto& execution : executions)
    EXPECT_GE(execution->run_time, std::chrono::milliseconds(600));
}

}  // namespace
}  // namespace twi::sql

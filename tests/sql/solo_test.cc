#include "sql/solo.h"

#include <gtest/gtest.h>

#include <thread>

#include "sql/errors.h"
#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

using SoloTest = PoolTest;

TEST_F(SoloTest, AWriteThatWaitsForALockHoldsUpNoOther) {
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

TEST_F(SoloTest, ASlowStatementHoldsUpNoOtherOnceItIsKnown) {
  EXPECT_TRUE(Run(kSleep, {1})[0]->status.ok());
  auto slow = Begin(kSleep, Range(0, 5));
  const auto quick = Run(kEcho, Range(0, 200), std::chrono::seconds(60), /*besides=*/5);
  for (const auto& execution : quick) EXPECT_TRUE(execution->status.ok());
  EXPECT_EQ(Outstanding(), 5) << "the quick ones waited for the slow ones";
  Wait();
  for (const auto& execution : slow) EXPECT_TRUE(execution->solo);
}

TEST_F(SoloTest, AWriteThatFailsABatchTravelsAloneAfterwards) {
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

TEST_F(SoloTest, WhatRunsAloneIsCancelledWhenItIsTooLateOrUnwanted) {
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

TEST_F(SoloTest, ACancelHitsNobodyElse) {
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

TEST_F(SoloTest, DeadlocksWithOthersEndWell) {
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

}  // namespace
}  // namespace twi::sql

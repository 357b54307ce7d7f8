// Cancels of what runs alone, at every moment of its run: none strays. All of them:
// TWI_TEST_CANCELS=100000.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Slow by itself, so it runs alone, on the connections that cancels are for.
const Statement kBrief = {"Test/Brief", "select $1::bigint from pg_sleep(0.006)", true};
const Statement kEndless = {"Test/Endless", "select $1::bigint from pg_sleep(60)", true};

class CancelTest : public PoolTest {
 protected:
  static int Cancels() {
    const char* given = std::getenv("TWI_TEST_CANCELS");
    return given == nullptr ? std::max(100, static_cast<int>(2000 * Load())) : std::atoi(given);
  }

  /// Makes them known as slow.
  CancelTest() : PoolTest(absl::Milliseconds(5)) {
    EXPECT_TRUE(Run(kBrief, {1})[0]->status.ok());
    Run(kEndless, {1}, milliseconds(30));
    Run(kEndless, {1}, milliseconds(30));
  }

  std::unique_ptr<Execution> BeginOne(const Statement& statement, Clock::duration timeout) {
    return std::move(Begin(statement, {1}, timeout)[0]);
  }
};

TEST_F(CancelTest, NoneHitsAnotherStatement) {
  const int cancels = Cancels();
  std::minstd_rand random(1);
  int cancelled = 0;
  int at_the_end = 0;
  int neighbours = 0;
  for (int begun = 0; cancelled < cancels; ++begun) {
    ASSERT_LT(begun, 20 * cancels) << "hardly anything is cancelled";
    // Four are cancelled somewhere in their run, and four about when they end by themselves. Behind
    // them stand more than there are connections, so that each runs where one was cancelled.
    std::vector<std::unique_ptr<Execution>> victims;
    for (int i = 0; i < 4; ++i) {
      const microseconds timeout(std::uniform_int_distribution(1000, 6000)(random));
      victims.push_back(BeginOne(kEndless, timeout));
    }
    for (int i = 0; i < 4; ++i) {
      const microseconds timeout(std::uniform_int_distribution(6000, 9000)(random));
      victims.push_back(BeginOne(kBrief, timeout));
    }
    const auto others = Begin(kBrief, Range(0, 10));
    Wait();
    for (const auto& victim : victims) {
      ASSERT_THAT(victim->status.code(),
                  ::testing::AnyOf(absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kOk));
      ASSERT_LE(victim->attempts, 1) << "somebody else's cancel hit it";
      // What had begun and was too late was cancelled.
      const bool hit = victim->attempts == 1 && !victim->status.ok();
      cancelled += hit;
      at_the_end += hit && victim->statement == &kBrief;
    }
    for (const auto& other : others) {
      ASSERT_TRUE(other->status.ok()) << other->status;
      ASSERT_EQ(other->attempts, 1) << "it was cancelled and ran again";
    }
    neighbours += static_cast<int>(others.size());
  }
  std::cout << cancelled << " cancels, " << at_the_end
            << " of them about when the statement ended; " << neighbours
            << " statements after them, none hit" << std::endl;
}

// A cancel that is not ours names a connection, and so hits the lane's whole batch.
TEST_F(CancelTest, AnOperatorsCancelIsNobodysFailure) {
  const Statement held = {"Test/Held", "select pass($1) as held", true};
  testing::Transaction first_gate = Close(1);
  testing::Transaction gate = Close(2);
  auto before = Hold(kPass, 1);  // what comes meanwhile is the next batch
  auto batch = Begin(kEcho, Range(0, 5));
  auto culprit = Begin(held, {2});
  auto behind = Begin(kEcho, Range(6, 10));
  first_gate.End();
  const std::string cancel =
      "select count(pg_cancel_backend(pid)) from pg_stat_activity where datname = "
      "current_database() and state = 'active' and query = 'select pass($1) as held' and pid <> "
      "pg_backend_pid()";
  while (database_.Value(cancel) == "0") std::this_thread::sleep_for(milliseconds(5));
  gate.End();
  Wait();
  for (const auto* answers : {&before, &batch, &culprit, &behind}) {
    for (const auto& answer : *answers) EXPECT_TRUE(answer->status.ok()) << answer->status;
  }
  EXPECT_EQ(culprit[0]->attempts, 2);
}

}  // namespace
}  // namespace twi::sql

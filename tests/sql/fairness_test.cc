// Flows that wait for lanes and sessions.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "sql/errors.h"
#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

const Statement kTogether = {
    "Test/Together",
    "select jsonb_array_length($1)::bigint, _call from jsonb_array_elements($1) "
    "with ordinality r (request, _call) order by _call",
    true, /*set=*/true};

/// Flow 0 is the one that floods.
class FairnessTest : public PoolTest {
 protected:
  explicit FairnessTest(absl::Duration slow = absl::InfiniteDuration()) : PoolTest(slow) {}

  /// Begins a statement so many times for a flow; `told_` gets to know in which order they end.
  void Call(size_t flow, const Statement& statement, int count, int64_t value = 1) {
    for (int i = 0; i < count; ++i) {
      Execution& execution = New(flow, statement);
      execution.parameters.Add(Int8(value));
      Start(&execution);
    }
  }
  void CallSet(size_t flow, int count) {
    for (int i = 0; i < count; ++i) {
      Execution& execution = New(flow, kTogether);
      execution.parameters.Add("\1[{}]");
      execution.key = std::to_string(executions_.size());
      Start(&execution);
    }
  }

  /// How many of the flow's calls ended with that reason, or well.
  int64_t Ended(size_t flow, const std::string& reason = "") {
    return std::ranges::count_if(executions_, [&](const auto& execution) {
      return execution->flow == &flows_[flow] && Reason(execution->status) == reason;
    });
  }
  /// How many ended before the last of the flow's did.
  int64_t BeforeLast(size_t flow) {
    const auto last = std::find(told_.rbegin(), told_.rend(), &flows_[flow]);
    return told_.rend() - last - 1;
  }

  std::vector<std::unique_ptr<Execution>> executions_;
  std::vector<const Flow*> told_;

 private:
  Execution& New(size_t flow, const Statement& statement) {
    executions_.push_back(std::make_unique<Execution>());
    Execution& execution = *executions_.back();
    execution.statement = &statement;
    execution.flow = &flows_[flow];
    return execution;
  }
  void Start(Execution* execution) {
    execution->done = [this, execution] {
      {
        std::lock_guard lock(mutex_);
        told_.push_back(execution->flow);
      }
      Done();
    };
    Submit(execution);
  }
};

TEST_F(FairnessTest, OthersOvertakeAFloodInALane) {
  for (const auto& [held, quick] : {std::pair(&kPass, &kEcho), {&kPassAndInsert, &kInsert}}) {
    testing::Transaction gate = Close(1);
    auto holder = Hold(*held, 1);
    executions_.clear();
    told_.clear();
    auto call = [&, quick = quick, first = int64_t{1000}](size_t flow, int count) mutable {
      for (int i = 0; i < count; ++i) Call(flow, *quick, 1, first++);
    };
    call(0, 900);
    for (size_t other = 1; other < 4; ++other) call(other, 30);
    gate.End();
    Wait();
    for (const auto& execution : executions_) ASSERT_TRUE(execution->status.ok());
    // One of the flood's for each of theirs.
    for (size_t other = 1; other < 4; ++other) EXPECT_LE(BeforeLast(other), 4 * 30);
    database_.Run("truncate t cascade");
  }
}

TEST_F(FairnessTest, WeightsDecideHowManyAreServedInALane) {
  flows_[1].weight = 9;
  testing::Transaction gate = Close(1);
  auto holder = Hold(kPass, 1);
  Call(0, kEcho, 500);
  Call(1, kEcho, 450);
  gate.End();
  Wait();
  EXPECT_NEAR(static_cast<double>(BeforeLast(1)), 500, 3);
}

TEST_F(FairnessTest, AFloodIsRefusedAndOthersAreNot) {
  testing::Transaction gate = Close(1);
  auto holder = Hold(kPass, 1);
  Call(0, kEcho, 6000);
  for (size_t other = 1; other < 4; ++other) Call(other, kEcho, 100);
  Call(0, kEcho, 10);
  gate.End();
  Wait();
  EXPECT_EQ(Ended(0), 2500);
  EXPECT_EQ(Ended(0, "OVERLOADED"), 3510);
  for (size_t other = 1; other < 4; ++other) EXPECT_EQ(Ended(other), 100);
}

TEST_F(FairnessTest, WhoWouldWaitTooLongBehindHisOwnIsRefused) {
  max_wait_ = absl::Seconds(1);
  Restart({});
  // From now on the lane takes itself for slow: 130 would wait for more than a second.
  Run({"Test/Sleep", "select pg_sleep(0.1), $1::bigint", true}, {1});
  testing::Transaction gate = Close(1);
  auto holder = Hold(kPass, 1);
  const Clock::time_point before = Clock::now();
  EXPECT_TRUE(flows_[0].refused.Find(&kEcho, before).ok());
  Call(0, kEcho, 1000);
  const int64_t waiting = 1000 - Ended(0, "OVERLOADED");
  const absl::Status refused = flows_[0].refused.Find(&kEcho, before);
  EXPECT_EQ(Reason(refused), "OVERLOADED");
  EXPECT_GT(RetryDelay(refused), std::chrono::seconds(1));
  EXPECT_TRUE(flows_[0].refused.Find(&kPass, before).ok());
  EXPECT_TRUE(flows_[0].refused.Find(&kEcho, before + std::chrono::minutes(5)).ok());
  for (size_t other = 1; other < 4; ++other) Call(other, kEcho, 20);
  gate.End();
  Wait();
  EXPECT_EQ(waiting, 129);
  EXPECT_EQ(Ended(0, "OVERLOADED"), 1000 - waiting);
  for (size_t other = 1; other < 4; ++other) EXPECT_EQ(Ended(other), 20);
}

TEST_F(FairnessTest, CallersOfASetShareStatementsWhateverTheirFlows) {
  // Nobody had calls beside another one before.
  for (const bool lately : {false, true}) {
    testing::Transaction gate = Close(1);
    auto holder = Hold(kPass, 1);
    executions_.clear();
    for (size_t flow = 0; flow < 4; ++flow) CallSet(flow, 30);
    gate.End();
    Wait();
    int64_t most = 0;
    for (const auto& execution : executions_) {
      ASSERT_TRUE(execution->status.ok()) << execution->database_message;
      most = std::max(most, Int8Of(execution->rows));
    }
    if (lately) {
      EXPECT_GE(most, 10);
      EXPECT_LE(most, 60) << "a flow's calls could fill a batch for which others wait";
    } else {
      EXPECT_EQ(most, 120);
    }
  }
}

/// One session, which one that waits at gate 1 holds: in the order in which they get it they end.
class SessionFairnessTest : public FairnessTest {
 protected:
  SessionFairnessTest() : FairnessTest(absl::Milliseconds(5)), gate_(Close(1)) {
    Restart({.max_connections = 5});
    MakeSlow(kPass);
    holder_ = Begin(kPass, {1});
    EXPECT_TRUE(Eventually([this] { return Running("pass($1)") == 1; }));
  }

  void WaitFor(int waiting) {
    EXPECT_TRUE(Eventually([&] { return pool_->numbers().waiting == waiting; }));
  }

  testing::Transaction gate_;
  std::vector<std::unique_ptr<Execution>> holder_;
};

TEST_F(SessionFairnessTest, OthersOvertakeAFlood) {
  Call(0, kPass, 200);
  WaitFor(200);
  for (size_t other = 1; other < 4; ++other) Call(other, kPass, 10);
  WaitFor(230);
  gate_.End();
  Wait();
  for (size_t other = 1; other < 4; ++other) EXPECT_LE(BeforeLast(other), 4 * 10);
}

TEST_F(SessionFairnessTest, WhoseStatementsTakeLongHasFewerOfThem) {
  flows_[0].held = std::chrono::milliseconds(100);
  flows_[1].held = std::chrono::milliseconds(5);
  Call(0, kPass, 100);
  Call(1, kPass, 100);
  WaitFor(200);
  gate_.End();
  Wait();
  EXPECT_LE(BeforeLast(1), 106);
}

TEST_F(SessionFairnessTest, ItIsKnownForHowLongAFlowHoldsSessions) {
  Call(0, kPass, 1);
  WaitFor(1);
  gate_.End();
  Wait();
  const Statement sleep = {"Test/Sleep", "select pg_sleep(0.05), $1::bigint", true, false,
                           /*costly=*/true};
  Call(1, sleep, 1);
  Wait();
  EXPECT_GE(flows_[1].held.load(), std::chrono::milliseconds(50));
  EXPECT_GT(flows_[0].held.load(), std::chrono::nanoseconds(0));
  EXPECT_LT(flows_[0].held.load(), flows_[1].held.load());
  EXPECT_EQ(flows_[2].held.load(), std::chrono::nanoseconds(0));
}

TEST_F(SessionFairnessTest, AFloodOfLoansIsRefusedAndOthersAreNot) {
  std::vector<std::unique_ptr<Loan>> loans;
  const auto ask = [&](size_t flow, int count) {
    for (int i = 0; i < count; ++i) {
      loans.push_back(std::make_unique<Loan>());
      loans.back()->flow = &flows_[flow];
      loans.back()->done = [this] { Done(); };
      Submit(loans.back().get());
    }
  };
  ask(0, 6000);
  // Its own and the two that hold the sessions. Those that come before it is told would overtake
  // it.
  WaitFor(2500);
  EXPECT_TRUE(Eventually([this] { return Outstanding() == 2501; }));
  for (size_t other = 1; other < 4; ++other) ask(other, 100);
  WaitFor(2800);
  const auto refused = [&](size_t flow) {
    return std::ranges::count_if(loans, [&](const auto& loan) {
      return loan->flow == &flows_[flow] && Reason(loan->status) == "OVERLOADED";
    });
  };
  EXPECT_EQ(refused(0), 3500);
  for (size_t other = 1; other < 4; ++other) EXPECT_EQ(refused(other), 0);
  pool_->Stop();
  Wait();
}

}  // namespace
}  // namespace twi::sql

#include "sql/fair_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <list>
#include <map>
#include <random>
#include <string>

namespace twi::sql {
namespace {

using ::testing::ElementsAre;
using Queue = FairQueue<int>;

class FairQueueTest : public ::testing::Test {
 protected:
  FairQueueTest() {
    for (size_t i = 0; i < flows_.size(); ++i) names_[&flows_[i]] = static_cast<char>('a' + i);
  }

  void Push(const Flow* flow, int count, double cost = 1) {
    for (int i = 0; i < count; ++i) queue_.Push(flow, i, cost);
  }

  /// Whose the next turns are.
  std::string Turns(int count) {
    std::string turns;
    for (int i = 0; i < count; ++i) {
      turns.push_back(names_[queue_.next()]);
      queue_.Pop();
    }
    return turns;
  }

  std::array<Flow, 4> flows_;
  const Flow* const a_ = &flows_[0];
  const Flow* const b_ = &flows_[1];
  const Flow* const c_ = &flows_[2];
  std::map<const Flow*, char> names_ = {{nullptr, '0'}};
  Queue queue_;
};

TEST_F(FairQueueTest, OneFlowIsServedInTheOrderOfArrival) {
  for (int i = 0; i < 100; ++i) queue_.Push(nullptr, i);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(queue_.Pop(), i);
  queue_.Push(nullptr, 100);
  for (int i = 50; i <= 100; ++i) EXPECT_EQ(queue_.Pop(), i);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(FairQueueTest, TurnsGoByWeights) {
  flows_[1].weight = 3;
  Push(a_, 10);
  Push(b_, 30);
  Push(nullptr, 10);
  EXPECT_EQ(Turns(5), "ab0bb");
  EXPECT_NEAR(static_cast<double>(std::ranges::count(Turns(35), 'b')), 21, 1);
}

TEST_F(FairQueueTest, AChangedWeightCountsFromTheNextArrivalOn) {
  Push(a_, 40);
  Push(b_, 40);
  EXPECT_EQ(std::ranges::count(Turns(20), 'b'), 10);
  flows_[1].weight = 4;
  Push(b_, 1);
  EXPECT_EQ(std::ranges::count(Turns(20), 'b'), 16);
}

TEST_F(FairQueueTest, TurnsGoByWhatTheyCost) {
  Push(a_, 10, /*cost=*/10);
  Push(b_, 100, /*cost=*/1);
  EXPECT_EQ(std::ranges::count(Turns(44), 'a'), 4);
}

TEST_F(FairQueueTest, WhoComesBackHasNoCredit) {
  Push(a_, 1);
  Push(b_, 300);
  Turns(201);
  Push(a_, 100);
  EXPECT_NEAR(static_cast<double>(std::ranges::count(Turns(100), 'a')), 50, 1);
}

TEST_F(FairQueueTest, WhoWasServedAloneHasNoDebt) {
  Push(a_, 1000);
  Turns(1000);
  Push(a_, 10);
  Push(b_, 10);
  EXPECT_EQ(Turns(6), "ababab");
}

TEST_F(FairQueueTest, WhoHasNothingElseWaitingIsNextAfterOneOfEachOther) {
  Push(a_, 1000);
  Push(b_, 1000);
  for (int i = 0; i < 100; ++i) {
    Push(c_, 1);
    EXPECT_NE(Turns(3).find('c'), std::string::npos);
  }
}

// The bound of start-time fair queueing, for random arrivals.
TEST_F(FairQueueTest, WhatTwoThatWaitAreGivenDiffersByATurnOfEach) {
  std::minstd_rand random(1);
  const std::array<int, 4> weights = {1, 2, 7, 100};
  const std::array<double, 4> costs = {1, 5, 0.25, 40};
  for (size_t i = 0; i < 4; ++i) flows_[i].weight = weights[i];
  std::array<double, 4> given{};
  /// Least and most of what one was given more than another since both wait.
  struct Span {
    bool open = false;
    double least = 0;
    double most = 0;
  };
  std::array<std::array<Span, 4>, 4> spans;
  int compared = 0;
  for (int step = 0; step < 20000; ++step) {
    if (const size_t i = random() % 4; random() % 2 == 0 || queue_.empty()) {
      for (size_t burst = random() % 8; burst > 0; --burst) queue_.Push(&flows_[i], 0, costs[i]);
    } else {
      const auto whose = static_cast<size_t>(queue_.next() - flows_.data());
      queue_.Pop();
      given[whose] += costs[whose] / weights[whose];
    }
    for (size_t i = 0; i < 4; ++i) {
      for (size_t j = 0; j < i; ++j) {
        const double more = given[i] - given[j];
        Span& span = spans[i][j];
        if (!span.open) span = {true, more, more};
        span = {true, std::min(span.least, more), std::max(span.most, more)};
        const double bound = costs[i] / weights[i] + costs[j] / weights[j];
        ASSERT_LE(span.most - span.least, bound + 1e-6) << i << " and " << j;
        span.open = queue_.waiting(&flows_[i]) > 0 && queue_.waiting(&flows_[j]) > 0;
        compared += span.open;
      }
    }
  }
  EXPECT_GT(compared, 10000);
}

TEST_F(FairQueueTest, NoFlowTakesTheRoomOfOthers) {
  const auto fill = [this](const Flow* flow) {
    while (queue_.HasRoom(flow, 60)) queue_.Push(flow, 0);
    return queue_.waiting(flow);
  };
  EXPECT_EQ(fill(a_), 30);
  EXPECT_EQ(fill(b_), 15);
  // As they are served, both come to a third.
  for (int i = 0; i < 200; ++i) {
    queue_.Pop();
    fill(i % 2 == 0 ? a_ : b_);
  }
  EXPECT_NEAR(static_cast<double>(queue_.waiting(a_)), 20, 1);
  EXPECT_NEAR(static_cast<double>(queue_.waiting(b_)), 20, 1);
  EXPECT_NEAR(static_cast<double>(fill(c_)), 10, 1);
}

TEST_F(FairQueueTest, NullAloneHasAllTheRoom) {
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(queue_.HasRoom(nullptr, 60));
    queue_.Push(nullptr, 0);
  }
  EXPECT_FALSE(queue_.HasRoom(nullptr, 60));
  EXPECT_FALSE(queue_.HasRoom(a_, 60));
  Turns(2);
  queue_.Push(a_, 0);
  EXPECT_FALSE(queue_.HasRoom(nullptr, 60)) << "it is not alone any more";
}

TEST_F(FairQueueTest, WhatIsBeforeOneMoreOfAFlow) {
  flows_[1].weight = 3;
  Push(nullptr, 100);
  EXPECT_EQ(queue_.Before(nullptr), 100);
  EXPECT_EQ(queue_.Before(a_), 0);
  Push(b_, 30);
  EXPECT_EQ(queue_.Before(b_), 40);
  EXPECT_EQ(queue_.Before(nullptr), 130) << "never more than all";
  Push(a_, 10);
  EXPECT_EQ(queue_.Before(a_), 50);
  EXPECT_EQ(queue_.Before(a_, 0.5), 25) << "whose turns cost half of the mean";
  Turns(140);
  EXPECT_EQ(queue_.Before(nullptr), 0);
}

TEST_F(FairQueueTest, AVisitTakesDropsKeepsAndStopsInFairOrder) {
  for (int i = 0; i < 10; ++i) {
    queue_.Push(a_, i);
    queue_.Push(b_, 100 + i);
  }
  std::vector<int> seen;
  queue_.Visit([&](int item) {
    if (item == 4) return Queue::Verdict::kStop;
    seen.push_back(item);
    if (item < 3) return Queue::Verdict::kTake;
    return item == 101 || item == 102 ? Queue::Verdict::kDrop : Queue::Verdict::kKeep;
  });
  EXPECT_THAT(seen, ElementsAre(0, 100, 1, 101, 102, 103, 2, 104, 3, 105));
  EXPECT_EQ(queue_.waiting(a_), 7);
  EXPECT_EQ(queue_.waiting(b_), 8);
  // It had no turn, and what it kept is in its place.
  EXPECT_EQ(Turns(4), "bbba");
  seen.clear();
  while (!queue_.empty()) seen.push_back(queue_.Pop());
  EXPECT_THAT(seen, ElementsAre(105, 4, 106, 5, 107, 6, 108, 7, 109, 8, 9));
  queue_.Visit([](int) { return Queue::Verdict::kTake; });
}

TEST_F(FairQueueTest, WhatIsRemovedHasNoTurn) {
  for (int i = 0; i < 10; ++i) {
    queue_.Push(a_, i);
    queue_.Push(b_, 100 + i);
  }
  EXPECT_THAT(queue_.RemoveIf([](int item) { return item < 5 || item >= 107; }),
              ElementsAre(0, 1, 2, 3, 4, 107, 108, 109));
  EXPECT_EQ(queue_.size(), 12);
  EXPECT_EQ(Turns(10), "ababababab");
  queue_.RemoveIf([](int) { return true; });
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(queue_.Before(b_), 0);
}

TEST_F(FairQueueTest, FlowsThatHaveNothingWaitingAreForgotten) {
  Push(a_, 10);
  std::list<Flow> flows;
  for (int i = 0; i < 10'000; ++i) {
    const Flow* const flow = &flows.emplace_back();
    queue_.Push(flow, 1);
    queue_.Push(a_, 0);
    queue_.Pop();
    queue_.Pop();
    ASSERT_LE(queue_.flows(), 10);
  }
}

TEST_F(FairQueueTest, AHundredThousandOfAThousandFlows) {
  std::vector<Flow> flows(1000);
  for (int i = 0; i < 100'000; ++i) queue_.Push(&flows[static_cast<size_t>(i) % 1000], i);
  for (int i = 0; i < 100'000; ++i) ASSERT_EQ(queue_.Pop(), i);
}

}  // namespace
}  // namespace twi::sql

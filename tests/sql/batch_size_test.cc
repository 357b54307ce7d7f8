#include "sql/batch_size.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace twi::sql {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

class BatchSizeTest : public ::testing::Test {
 protected:
  /// The size of most batches, when they take so long beside their callers and for each of them.
  size_t Settle(Clock::duration beside, Clock::duration each) {
    std::vector<size_t> sizes(20'000);
    for (size_t& size : sizes) {
      size = size_.Next(128);
      size_.Observe(size, beside + static_cast<int64_t>(size) * each);
    }
    std::sort(sizes.end() - 64, sizes.end());
    return *(sizes.end() - 32);
  }

  BatchSize size_;
};

TEST_F(BatchSizeTest, CallersTakeFourFifthsOfABatch) {
  EXPECT_NEAR(static_cast<double>(Settle(microseconds(80), microseconds(20))), 17, 3);
}

TEST_F(BatchSizeTest, WhatTakesLongTravelsAlone) {
  EXPECT_EQ(Settle(microseconds(80), milliseconds(1)), 1);
}

TEST_F(BatchSizeTest, WhereABatchItselfTakesLongAllShareIt) {
  // A slow disk.
  EXPECT_EQ(Settle(milliseconds(5), microseconds(30)), 128);
}

TEST_F(BatchSizeTest, ItFollowsWhatBatchesTake) {
  EXPECT_EQ(Settle(microseconds(80), milliseconds(1)), 1);
  EXPECT_NEAR(static_cast<double>(Settle(microseconds(80), microseconds(20))), 17, 3);
  EXPECT_EQ(Settle(milliseconds(5), microseconds(30)), 128);
  EXPECT_EQ(Settle(microseconds(80), milliseconds(1)), 1);
}

TEST_F(BatchSizeTest, ABatchThatWasHeldUpChangesLittle) {
  Settle(microseconds(80), microseconds(20));
  size_.Observe(1, std::chrono::seconds(10));
  EXPECT_NEAR(static_cast<double>(size_.Next(128)), 17, 5);
}

TEST_F(BatchSizeTest, NoneIsEmptyOrTooLarge) {
  for (int i = 0; i < 1000; ++i) {
    const size_t size = size_.Next(5);
    ASSERT_GE(size, 1);
    ASSERT_LE(size, 5);
    size_.Observe(size, Clock::duration::zero());
  }
}

}  // namespace
}  // namespace twi::sql

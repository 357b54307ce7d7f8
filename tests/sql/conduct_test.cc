#include "sql/conduct.h"

#include <gtest/gtest.h>

namespace twi::sql {
namespace {

using std::chrono::milliseconds;

class ConductTest : public ::testing::Test {
 protected:
  /// So many runs of which each `failing`-th fails; how many of them had to be alone.
  int Alone(int runs, int failing) {
    int alone = 0;
    for (int run = 1; run <= runs; ++run) {
      alone += conduct_.TravelsAlone(&statement_);
      if (run % failing == 0) {
        conduct_.RanAlone(&statement_, false, milliseconds(1));
      } else {
        conduct_.WentWell(&statement_, 1);
      }
    }
    return alone;
  }

  const Statement statement_ = {"Test/Any", "select 1", true};
  const Statement other_ = {"Test/Other", "select 2", true};
  Conduct conduct_;
};

TEST_F(ConductTest, WhatSeldomFailsSharesBatches) { EXPECT_EQ(Alone(10'000, 100), 0); }

TEST_F(ConductTest, WhatOftenFailsTravelsAlone) { EXPECT_GT(Alone(10'000, 8), 9'000); }

TEST_F(ConductTest, WhatAlwaysFailsTravelsAloneFromTheFourthRunOn) {
  EXPECT_EQ(Alone(3, 1), 0);
  EXPECT_EQ(Alone(10, 1), 10);
  EXPECT_FALSE(conduct_.TravelsAlone(&other_));
  // Until it has made up for it.
  EXPECT_EQ(Alone(200, 1000), Conduct::kWorst - Conduct::kTolerance);
}

TEST_F(ConductTest, ASuspectTravelsAloneOnce) {
  conduct_.Suspect(&statement_);
  EXPECT_TRUE(conduct_.TravelsAlone(&statement_));
  EXPECT_FALSE(conduct_.TravelsAlone(&statement_));
}

TEST_F(ConductTest, WhatMayTakeLongTravelsAloneUntilItsTimeIsKnown) {
  const Statement costly = {"Test/Costly", "select 3", true, false, /*costly=*/true};
  EXPECT_TRUE(conduct_.TravelsAlone(&costly));
  EXPECT_TRUE(conduct_.TravelsAlone(&costly)) << "the first may be under way still";
  conduct_.RanAlone(&costly, true, milliseconds(1));
  EXPECT_FALSE(conduct_.TravelsAlone(&costly));
}

TEST_F(ConductTest, WhatIsQuickTogetherIsNotSlowAlone) {
  for (int run = 0; run < 100; ++run) {
    conduct_.RanAlone(&statement_, true, Conduct::kSlow + milliseconds(10));
  }
  ASSERT_TRUE(conduct_.TravelsAlone(&statement_));
  conduct_.RanTogether(&statement_, 4, Conduct::kSlow * 2);
  EXPECT_TRUE(conduct_.TravelsAlone(&statement_)) << "each had to wait for long";
  conduct_.RanTogether(&statement_, 4, milliseconds(1));
  EXPECT_TRUE(conduct_.TravelsAlone(&statement_)) << "they were few";
  conduct_.RanTogether(&statement_, 40, milliseconds(1));
  EXPECT_FALSE(conduct_.TravelsAlone(&statement_));
}

TEST_F(ConductTest, WhatWasCutOffTravelsAlone) {
  EXPECT_EQ(conduct_.cut_off(), absl::FromChrono(Conduct::kSlow) * Conduct::kCutOff);
  conduct_.WasCutOff(&statement_, milliseconds(100));
  EXPECT_TRUE(conduct_.TravelsAlone(&statement_));
  EXPECT_TRUE(conduct_.TravelsAlone(&statement_));
}

TEST_F(ConductTest, WhatIsSlowTravelsAloneUntilItIsQuickOnAverage) {
  conduct_.Suspect(&statement_);
  conduct_.RanAlone(&statement_, true, milliseconds(50));
  int quick = 0;
  for (; conduct_.TravelsAlone(&statement_); ++quick) {
    ASSERT_LT(quick, 1000);
    conduct_.RanAlone(&statement_, true, milliseconds(1));
  }
  EXPECT_GT(quick, 10) << "a quick run does not make it quick";
}

}  // namespace
}  // namespace twi::sql

#include "sql/activity.h"

#include <algorithm>
#include <future>
#include <vector>

#include "tests/support/borrower.h"
#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

using Kind = ConnectionActivity::Kind;
using State = ConnectionActivity::State;

class ActivityTest : public PoolTest {
 protected:
  Pool::Activity Look() {
    std::promise<Pool::Activity> told;
    pool_->Look([&](Pool::Activity activity) { told.set_value(std::move(activity)); });
    return told.get_future().get();
  }

  /// The first connection that is in that state.
  static const ConnectionActivity* In(const Pool::Activity& activity, State state) {
    const auto found = std::ranges::find(activity, state, &ConnectionActivity::state);
    return found == activity.end() ? nullptr : &*found;
  }
};

TEST_F(ActivityTest, TellsLanesAndSessionsThatDoNothing) {
  const Pool::Activity activity = Look();
  ASSERT_EQ(activity.size(), 5u);
  EXPECT_EQ(activity[0].kind, Kind::kReadLane);
  EXPECT_EQ(activity[1].kind, Kind::kWriteLane);
  for (const ConnectionActivity& connection : activity) {
    EXPECT_EQ(connection.state, State::kIdle);
    EXPECT_TRUE(connection.statements.empty());
  }
}

TEST_F(ActivityTest, TellsWhatALaneRunsAndWhoWaitsForIt) {
  testing::Transaction gate = Close(1);
  auto holder = Hold(kPass, 1);
  auto waiting = Begin(kEcho, {1, 2, 3});
  const Pool::Activity activity = Look();
  const ConnectionActivity* lane = In(activity, State::kRunning);
  ASSERT_NE(lane, nullptr);
  EXPECT_EQ(lane->kind, Kind::kReadLane);
  EXPECT_EQ(lane->waiting, 3);
  EXPECT_GT(lane->lasts, Clock::duration::zero());
  ASSERT_EQ(lane->statements.size(), 1u);
  EXPECT_EQ(lane->statements[0].operation, "Test/Pass");
  EXPECT_EQ(lane->statements[0].callers, 1);
  gate.End();
  Wait();
  EXPECT_EQ(In(Look(), State::kRunning), nullptr);
}

TEST_F(ActivityTest, TellsOfALentSessionWhatItRunsButNoTextOfCallers) {
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  Pool::Activity activity = Look();
  const ConnectionActivity* session = In(activity, State::kLent);
  ASSERT_NE(session, nullptr);
  EXPECT_EQ(session->kind, Kind::kSession);
  EXPECT_TRUE(session->statements.empty());

  testing::Transaction gate = Close(1);
  Statement own{.name = "raw 1", .text = "select pass(1), 'secret'", .read_only = false};
  own.raw = true;
  own.fingerprint = "f00d";
  borrower.Begin(own);
  EXPECT_TRUE(Eventually([&] { return Running("pass") == 1; }));
  activity = Look();
  session = In(activity, State::kRunning);
  ASSERT_NE(session, nullptr);
  ASSERT_EQ(session->statements.size(), 1u);
  EXPECT_EQ(session->statements[0].operation, "");
  EXPECT_EQ(session->statements[0].fingerprint, "f00d");
  gate.End();
  EXPECT_TRUE(borrower.End().status.ok());
}

}  // namespace
}  // namespace twi::sql

// The views that `optimize` makes, as StatsService tells them: found without a restart, and as old
// as they say.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "sql/upkeep.h"
#include "tests/support/running_server.h"
#include "twi/data/v1/stats.pb.h"

namespace twi::server {
namespace {

using ::testing::SizeIs;

class StatsViewsTest : public ::testing::Test {
 protected:
  sql::Upkeep Keep() {
    auto upkeep = sql::Upkeep::Load(server_.database().dsn(), {.step = {}, .waiting = {}});
    EXPECT_TRUE(upkeep.ok()) << upkeep.status();
    return *std::move(upkeep);
  }

  template <typename Response, typename Request>
  grpc::Status Ask(const std::string& method, const Request& request, Response* response) {
    return server_.Call("/twi.data.v1.StatsService/" + method, request, response);
  }

  testing::RunningServer server_;
};

/// One day of one user and channel.
constexpr char kRows[] = R"(
insert into servers (server_id) values (1);
insert into users (user_id, username) values (31, 'erin');
insert into messages (message_id, created_at, server_name, server_id, channel_id, channel_name, user_id,
                      jump_url, is_bot)
select i, date_trunc('hour', now() at time zone 'UTC' - interval '2 hours'), '', 1, 2, 'common', 31, '', i > 3
from generate_series(1, 4) i;
insert into join_leave (user_id, date, join_or_leave, server_name, server_id)
values (31, now() at time zone 'UTC' - interval '2 hours', 'join', '', 1))";

TEST_F(StatsViewsTest, AreToldAsOptimizeAndRefreshViewsMadeThem) {
  data::v1::ListUserActivityStatsResponse users;
  const grpc::Status missing =
      Ask("ListUserActivityStats", data::v1::ListUserActivityStatsRequest(), &users);
  EXPECT_EQ(missing.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(testing::DetailsOf(missing).info.reason(), "SCHEMA_MISMATCH");

  for (const char* set : {"base", "additional"}) ASSERT_TRUE(Keep().Optimize(set).ok());
  server_.database().Run(kRows);
  ASSERT_TRUE(Ask("ListUserActivityStats", data::v1::ListUserActivityStatsRequest(), &users).ok());
  EXPECT_THAT(users.stats(), SizeIs(0));
  const std::string before =
      server_.database().Value("select floor(extract(epoch from now()))::bigint");
  ASSERT_TRUE(Keep().RefreshViews().ok());

  ASSERT_TRUE(Ask("ListUserActivityStats", data::v1::ListUserActivityStatsRequest(), &users).ok());
  ASSERT_THAT(users.stats(), SizeIs(1));
  EXPECT_EQ(users.stats(0).user_id(), 31);
  EXPECT_EQ(users.stats(0).message_count(), 3);
  EXPECT_EQ(users.stats(0).active_channels(), 1);
  EXPECT_GE(users.stats(0).as_of().seconds(), std::stoll(before));

  data::v1::ListChannelHourlyStatsResponse hours;
  ASSERT_TRUE(
      Ask("ListChannelHourlyStats", data::v1::ListChannelHourlyStatsRequest(), &hours).ok());
  ASSERT_THAT(hours.stats(), SizeIs(1));
  EXPECT_EQ(hours.stats(0).message_count(), 4);
  EXPECT_EQ(hours.stats(0).hour(), users.stats(0).first_message().seconds() / 3600 % 24);

  data::v1::ListDailyMessageStatsResponse days;
  ASSERT_TRUE(Ask("ListDailyMessageStats", data::v1::ListDailyMessageStatsRequest(), &days).ok());
  ASSERT_THAT(days.stats(), SizeIs(1));
  EXPECT_EQ(days.stats(0).total(), 3);
  EXPECT_EQ(days.stats(0).channel_name(), "common");

  data::v1::ListDailyMemberStatsResponse members;
  ASSERT_TRUE(Ask("ListDailyMemberStats", data::v1::ListDailyMemberStatsRequest(), &members).ok());
  ASSERT_THAT(members.stats(), SizeIs(1));
  EXPECT_EQ(members.stats(0).joins(), 1);

  data::v1::ListUserChannelActivityResponse activities;
  ASSERT_TRUE(
      Ask("ListUserChannelActivity", data::v1::ListUserChannelActivityRequest(), &activities).ok());
  ASSERT_THAT(activities.activities(), SizeIs(1));
  EXPECT_EQ(activities.activities(0).message_count(), 3);

  data::v1::ListWeeklyMessageStatsResponse weeks;
  ASSERT_TRUE(
      Ask("ListWeeklyMessageStats", data::v1::ListWeeklyMessageStatsRequest(), &weeks).ok());
  ASSERT_THAT(weeks.stats(), SizeIs(1));
  const absl::CivilSecond monday = absl::ToCivilSecond(
      absl::FromUnixSeconds(weeks.stats(0).week().seconds()), absl::UTCTimeZone());
  EXPECT_EQ(absl::GetWeekday(monday), absl::Weekday::monday);
  EXPECT_EQ(monday, absl::CivilSecond(absl::CivilDay(monday)));
}

}  // namespace
}  // namespace twi::server

// How much of large tables the statements of StatsService touch: as much as was written since a
// time, or a page of a view, whatever else there is.

#include "sql/upkeep.h"
#include "tests/support/plans_fixture.h"

namespace twi::server {
namespace {

// 30,000 messages, one a minute and the last one now, of ten channels, 1,000 users and three
// servers, each with what hangs on it: the last day is 1,440 of them in 180 pages of 3,750.
constexpr char kTables[] = R"(
insert into servers (server_id) select i from generate_series(1, 3) i;
insert into users (user_id, username) select i, 'somebody' from generate_series(1, 1000) i;
insert into messages (message_id, created_at, content, server_name, server_id, channel_id, channel_name, user_id,
                      jump_url, is_bot)
select i, now() at time zone 'UTC' - (30000 - i) * interval '1 minute', repeat('text ', 180), 'Inn', 1 + i % 3,
       1 + i % 10, 'common', 1 + i % 1000, '', false
from generate_series(1, 30000) i;
insert into attachments (id, message_id, url) select i, i, repeat('u', 300) from generate_series(1, 30000) i;
insert into embeds (message_id, description) select i, repeat('d', 300) from generate_series(1, 30000) i;
insert into join_leave (user_id, date, join_or_leave, server_name, server_id)
select 1, now() at time zone 'UTC' - (30000 - i) * interval '1 minute', 'join', repeat('n', 300), 1 + i % 3
from generate_series(1, 30000) i;
vacuum analyze
)";

struct Look {
  const char* method;
  const char* arguments;  ///< SQL, in the order of the placeholders.
  int pages;              ///< That it may touch.
};

class StatsPlansTest : public testing::PlansTest {
 protected:
  StatsPlansTest() : PlansTest(kTables) {}

  void ExpectFewPages(const std::initializer_list<Look>& looks) const {
    for (const auto& [method, arguments, pages] : looks) {
      EXPECT_LE(Pages(Find(method).statement().text, arguments), pages) << method;
    }
  }
};

TEST_F(StatsPlansTest, CountsReadWhatWasWrittenSince) {
  // A channel's day are 144 messages, a server's 480, a user's three days 4.
  ExpectFewPages({
      {"GetChannelMessageCount", "1, now() at time zone 'UTC' - interval '1 day'", 10},
      {"GetChannelStats", "1, now() at time zone 'UTC' - interval '1 day'", 1300},
      {"ListChannelTopUsers", "1, now() at time zone 'UTC' - interval '1 day', 5", 10},
      {"GetServerStats", "1, now() at time zone 'UTC' - interval '1 day'", 25},
      {"GetServerMemberFlow", "1, now() at time zone 'UTC' - interval '1 day'", 100},
      {"GetUserStats", "1, 2, now() at time zone 'UTC' - interval '3 days'", 30},
      {"ListUserTopChannels", "1, 2, now() at time zone 'UTC' - interval '3 days', 5", 15},
      {"GetRoleStats", "'{1,2,3}', 2, now() at time zone 'UTC' - interval '3 days'", 35},
      {"ListRoleTopUsers", "'{1,2,3}', 2, now() at time zone 'UTC' - interval '3 days', 5", 30},
      {"GetCategoryStats", "'{1,2}', now() at time zone 'UTC' - interval '1 day'", 2400},
      {"ListCategoryTopChannels", "'{1,2}', now() at time zone 'UTC' - interval '1 day', 5", 25},
      {"GetThreadStats", "1, now() at time zone 'UTC' - interval '1 day'", 1300},
      {"ListThreadTopUsers", "1, now() at time zone 'UTC' - interval '1 day', 5", 10},
      {"ListDailyActivity", "1, null, 101", 270},
      {"GetDailyMemberFlow", "1, now() at time zone 'UTC' - interval '1 day'", 100},
      {"GetLastMessageDate", "1", 12},
  });
}

TEST_F(StatsPlansTest, PagesOfViewsReadNoMoreThanTheyShow) {
  auto upkeep = sql::Upkeep::Load(database_.dsn(), {.step = {}, .waiting = {}});
  ASSERT_TRUE(upkeep.ok()) << upkeep.status();
  for (const char* set : {"base", "additional"}) ASSERT_TRUE(upkeep->Optimize(set).ok());
  database_.Run("vacuum analyze");
  ExpectFewPages({
      {"ListUserChannelActivity", "null, 101", 120},
      {"ListUserChannelActivity", "500, 101", 6},
      {"ListWeeklyMessageStats", "null, 11", 12},
      {"ListDailyMessageStats", "null, 101", 8},
      {"ListDailyMemberStats", "null, 101", 8},
      {"ListUserActivityStats", "null, 11", 6},
      {"ListUserActivityStats", "500, 11", 6},
      {"ListChannelHourlyStats", "null, 11", 12},
  });
}

}  // namespace
}  // namespace twi::server

// How much of large tables the statements touch that tell of people and what they do.

#include "tests/support/plans_fixture.h"

namespace twi::server {
namespace {

// 40,000 people with a few of everything: each table has hundreds of pages.
constexpr char kTables[] = R"(
insert into servers (server_id, server_name) select i, 'Inn' from generate_series(1, 20000) i;
insert into users (user_id, username) select i, 'somebody' from generate_series(1, 40000) i;
insert into channels (id, name, allow_pins) select i, 'general', i % 1000 = 0 from generate_series(1, 20000) i;
insert into roles (id, guild_id) select i, 1 + i / 100 from generate_series(1, 20000) i;
insert into server_membership (user_id, server_id) select i, 1 + i % 3 from generate_series(1, 20000) i;
insert into role_membership (user_id, role_id)
select i, 1 + (7 * i + k) % 20000 from generate_series(1, 20000) i, generate_series(1, 3) k;
insert into join_leave (user_id, user_name, date, join_or_leave, server_name, server_id)
select 1 + i % 25000, 'somebody', timestamp '2020-01-01' + i * interval '1 minute', 'join', 'Inn', 1 + i % 3
from generate_series(1, 50000) i;
insert into role_changes (user_id, server_id, role_id, action, timestamp)
select 1 + i % 20000, 1, 1 + i % 300, 'added', timestamp '2020-01-01' + i * interval '1 minute'
from generate_series(1, 50000) i;
insert into messages (message_id, created_at, server_name, server_id, channel_id, jump_url, is_bot)
select 2 * i, '2020-01-01', 'Inn', 1, 1, '', false from generate_series(1, 10000) i;
insert into reactions (message_id, user_id, unicode_emoji, date)
select i, u, '🐸', '2020-01-01' from generate_series(1, 20000) i, generate_series(1, 4) u;
insert into command_history (command_name, start_date, user_id, slash_command)
select 'quote', '2020-01-01', 1 + i % 1000, true from generate_series(1, 50000) i;
insert into error_telemetry (error_type, error_message, timestamp)
select 'E', repeat('text ', 20), timestamp '2020-01-01' + i * interval '1 minute' from generate_series(1, 50000) i;
vacuum analyze;
)";

class PeoplePlansTest : public testing::PlansTest {
 protected:
  PeoplePlansTest() : PlansTest(kTables) {}
};

TEST_F(PeoplePlansTest, EachStatementTouchesFewPages) {
  struct Look {
    const char* method;
    const char* arguments;  ///< SQL.
    int pages;              ///< That it may touch.
  };
  for (
      const auto& [method, arguments, pages] : std::initializer_list<Look>{
          {"GetUser", "5", 5},
          {"EnsureUser", R"('[{"user_id": 5, "username": "a"}]')", 20},
          {"EnsureUser", R"('[{"user_id": 50000, "username": "a"}]')", 60},
          {"UpsertUser", R"('[{"user_id": 5, "username": "somebody"}]')", 30},
          {"UpsertUser", R"('[{"user_id": 5, "username": "a"}]')", 150},
          {"UpdateUsername", "5, 'b'", 150},
          {"BatchGetExistingUserIds", "array[5, 6, 40000]", 20},
          {"ListJoinLeaveUsers", "11", 100},
          {"RecordMemberJoin", "50000, 'somebody', '2021-01-01', 'Inn', 1, null, false", 250},
          {"RecordMemberLeave", "5, null, '2021-01-01', 'Inn', 1, null", 150},
          {"BatchGetServerMemberIds", "array[5, 6, 40000], 1", 20},
          {"BatchCreateServerMemberships", R"('[{"user_id": 5, "server_id": 9}]')", 150},
          {"RecordRoleChange",
           R"(5, 1, '2021-01-01', '[{"role_id": 9, "action": "added"}, {"role_id": 36, "action": "removed"}]')",
           200},
          {"UpsertReaction",
           R"('[{"message_id": 5, "user_id": 3, "unicode": "🐸", "date": "2020-01-01"}]')", 30},
          {"UpsertReaction",
           R"('[{"message_id": 5, "user_id": 3, "custom": {"emoji_id": 7}, "date": "2020-01-01"}]')",
           150},
          {"MarkReactionRemoved", R"('[{"message_id": 5, "user_id": 3, "unicode": "🐸"}]')", 80},
          {"ClearReactions", "6", 200},
          {"ClearEmojiReactions", "7, null, '🐸'", 200},
          {"ListReactedMessagesNotStored", "11", 150},
          {"CompleteCommand", R"('[{"serial": 7, "run_time": "1s", "end_date": "2020-01-01"}]')",
           80},
          {"RecordInteraction",
           R"('[{"user": {"user_id": 5, "username": "somebody"}, "server": {"server_id": 5, "server_name": "Inn"},
             "channel": {"id": 5, "name": "general"}, "start_date": "2020-01-01", "slash_command": true,
             "started_successfully": true}]')",
           100},
          {"GetErrorStatistics", "'2020-01-10', '2020-01-11', 10", 60},
          {"ListMostCommonErrors", "'2020-01-10', '2020-01-11', 10", 60},
          {"ResolveError", "'', 5", 60},
          {"ListPinChannels", "11", 20},
          {"SetChannelPinsAllowed", "true, 5", 80}}) {
    EXPECT_LE(Pages(Find(method).statement().text, arguments), pages) << method << " " << arguments;
  }
}

}  // namespace
}  // namespace twi::server

// What is in sql/optimizations/, on our own schema.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/support/optimizations_fixture.h"

namespace twi::sql {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class OptimizationsTest : public OptimizationsFixture {
 protected:
  using OptimizationsFixture::OptimizationsFixture;

  void Fill() {
    database_.Run(R"(
        insert into servers (server_id) values (1), (2);
        insert into users (user_id, username) select g, g from generate_series(1, 3) g)");
  }
  /// A message of so long ago.
  void Say(int64_t id, const std::string& age, const std::string& rest = "1, 10, 'old', 1, false") {
    database_.Run(
        absl::StrCat("insert into messages (message_id, created_at, server_name, jump_url,"
                     " server_id, channel_id, channel_name, user_id, is_bot) values (",
                     id, ", now() at time zone 'UTC' - interval '", age, "', '', '', ", rest, ")"));
  }
  std::string Plan(const std::string& query) {
    return database_.Value(
        "create or replace function plan(query text) returns text language plpgsql as $$"
        " declare line text; plan text = '';"
        " begin set local enable_seqscan = off;"
        " for line in execute 'explain (costs off) ' || query loop plan = plan || line; end loop;"
        " return plan; end $$; select plan($q$" +
        query + "$q$)");
  }
};

TEST_F(OptimizationsTest, AreWhatTheReadmeSays) {
  std::ifstream file(TWI_SOURCE_FOLDER "/sql/optimizations/README.md");
  std::stringstream readme;
  readme << file.rdbuf();
  for (const UpkeepStep& step : Optimize()) {
    std::string by = "made";
    if (step.outcome == StepOutcome::kThere) by = "by the migrations";
    if (step.outcome == StepOutcome::kServed) by = "`" + step.detail + "`";
    // Of indexes it says what does it; what else there is it names.
    const bool index = absl::StartsWith(step.name, "idx_") || absl::EndsWith(step.name, "_idx");
    const std::string said = index ? "| `" + step.name + "` | " + by + " |" : "`" + step.name + "`";
    EXPECT_TRUE(absl::StrContains(readme.str(), said)) << said;
  }
}

TEST_F(OptimizationsTest, DoneOnceTheyAreNoDrift) {
  Optimize();
  EXPECT_THAT(Check(), IsEmpty());
  for (const UpkeepStep& step : Optimize()) {
    EXPECT_TRUE(step.outcome == StepOutcome::kThere || step.outcome == StepOutcome::kServed)
        << step.name;
  }
  EXPECT_THAT(Check(), IsEmpty());
}

TEST_F(OptimizationsTest, WhatBecameOfThemIsDrift) {
  Optimize();
  database_.Run(R"(
      drop index idx_reactions_date, idx_updates_table_action, user_activity_stats_key;
      create index idx_updates_table_action on updates (action);
      create index idx_messages_user_id on messages (user_id);
      create or replace function get_last_message_date(channel_id_param bigint) returns timestamp
      language sql as 'select now()::timestamp')");
  EXPECT_THAT(Check(),
              ::testing::UnorderedElementsAre(
                  AllOf(HasSubstr("function get_last_message_date"), HasSubstr("it should be")),
                  AllOf(HasSubstr("index idx_messages_user_id is there"),
                        HasSubstr("no migration makes it")),
                  AllOf(HasSubstr("index idx_updates_table_action is"), HasSubstr("it should be")),
                  "index user_activity_stats_key is missing"));
  // The draft mends it; what belongs to nobody it only shows.
  EXPECT_THAT(Load().Check()->draft,
              HasSubstr("CREATE INDEX idx_updates_table_action ON updates USING btree"
                        " (updated_table, action)"));
}

TEST_F(OptimizationsTest, MigrationsDropViewsThatAreInTheirWay) {
  Optimize();
  const Migrations migrations = Load();
  std::map<std::string, bool> dropped;
  ASSERT_TRUE(
      migrations.To(0, [&](const MigrationStep& step) { dropped[step.name] = step.views_dropped; })
          .ok());
  // They read join_leave and messages; that of the first to go took all along.
  EXPECT_TRUE(dropped["0005_activity"]);
  EXPECT_FALSE(dropped["0002_messages"]);
  EXPECT_EQ(database_.Value("select count(*) from pg_matviews"), "0");
  ASSERT_TRUE(migrations.Up({}).ok());
  EXPECT_THAT(Check(), IsEmpty());
  Optimize();
  EXPECT_EQ(database_.Value("select count(*) from pg_matviews"), "6");
  EXPECT_THAT(Check(), IsEmpty());
}

TEST_F(OptimizationsTest, WhatOthersMadeOfAViewIsNotDropped) {
  Optimize();
  database_.Run("create view of_others as select total from weekly_message_stats");
  const absl::Status status = Load().To(1, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("view of_others depends on"));
  EXPECT_EQ(database_.Value("select count(*) from pg_matviews"), "6");
}

TEST_F(OptimizationsTest, RecentRowsAreReadFromTheirIndexes) {
  Optimize();
  // Without rows there is little to choose between these and their like.
  database_.Run(
      "drop index idx_messages_created_at, idx_messages_channel_created,"
      " idx_threads_active");
  const auto since = [&](const std::string& days) {
    return "timestamp '" +
           database_.Value("select now() at time zone 'UTC' - interval '" + days + " days'") + "'";
  };
  EXPECT_THAT(Plan("select created_at from messages where created_at >= " + since("29")),
              HasSubstr("idx_messages_created_at_range"));
  EXPECT_THAT(Plan("select created_at from messages where created_at >= " + since("32")),
              Not(HasSubstr("_range")));
  EXPECT_THAT(Plan("select created_at from messages where channel_id = 1 and not deleted"
                   " and created_at >= " +
                   since("29")),
              HasSubstr("idx_active_messages"));
  EXPECT_THAT(Plan("select date from reactions where message_id = 1 and date >= " + since("6")),
              HasSubstr("idx_reactions_recent"));
  EXPECT_THAT(Plan("select created_at from messages where is_bot order by created_at"),
              HasSubstr("idx_messages_is_bot"));
  EXPECT_THAT(Plan("select id from threads where guild_id = 1 and parent_id = 2"
                   " and archived = false and deleted = false"),
              HasSubstr("idx_active_threads"));
}

TEST_F(OptimizationsTest, ViewsCountByUtc) {
  Optimize();
  Fill();
  Say(1, "29 days 23 hours");
  Say(2, "30 days 1 hour");
  Say(3, "23 hours", "1, 10, 'zeta', 1, false");
  Say(4, "1 hour", "1, 10, 'alpha', 1, false");
  Say(5, "1 hour", "1, 10, 'new', 1, true");
  Say(6, "1 hour", "1, 10, 'new', null, false");
  Say(7, "1 hour", "2, 20, 'other', 2, false");
  Say(8, "89 days", "2, 20, 'other', 2, false");
  Say(9, "91 days", "2, 20, 'other', 2, false");
  database_.Run(R"(
      insert into join_leave (user_id, date, join_or_leave, server_name, server_id)
      select 1, now() at time zone 'UTC' - age, kind, '', server
      from (values (interval '23 hours', 'join', 1), ('25 hours', 'join', 1), ('1 hour', 'leave', 1),
                   ('1 hour', 'join', 2)) v (age, kind, server))");
  // Half a day before UTC and half a day behind: neither moves a border.
  for (const char* zone : {"Pacific/Kiritimati", "Etc/GMT+12"}) {
    database_.Run(absl::StrCat("set timezone = '", zone, "'; select refresh_materialized_views()"));
    EXPECT_EQ(database_.Value("select string_agg(concat_ws(' ', user_id, message_count,"
                              " active_channels, last_message - first_message > '1 day'), ', '"
                              " order by user_id) from user_activity_stats"),
              "1 3 1 t, 2 1 1 f");
    EXPECT_EQ(database_.Value("select sum(message_count) from channel_hourly_stats"
                              " where channel_id = 10"),
              "5");
    EXPECT_EQ(database_.Value("select message_count from channel_hourly_stats"
                              " where channel_id = 20 and hour ="
                              " extract(hour from now() at time zone 'UTC' - interval '1 hour')"),
              "1");
    EXPECT_EQ(database_.Value("select string_agg(concat_ws(' ', total, channel_id, channel_name,"
                              " server_id), ', ' order by channel_id) from daily_message_stats"),
              "3 10 new 1, 1 20 other 2");
    EXPECT_EQ(database_.Value("select string_agg(concat_ws(' ', joins, leaves, server_id), ', '"
                              " order by server_id) from daily_member_stats"),
              "1 1 1, 1 0 2");
    EXPECT_EQ(
        database_.Value("select string_agg(concat_ws(' ', user_id, channel_id, message_count),"
                        " ', ' order by user_id) from user_channel_activity"),
        "1 10 3, 2 20 1");
    EXPECT_EQ(database_.Value("select sum(total) from weekly_message_stats where server_id = 2"),
              "2");
    EXPECT_EQ(database_.Value("select bool_and(week = date_trunc('week', week)) and"
                              " max(week) >= date_trunc('week', now() at time zone 'UTC' -"
                              " interval '1 hour') from weekly_message_stats"),
              "t");
  }
  for (const char* view : {"user_activity_stats", "channel_hourly_stats", "daily_message_stats",
                           "daily_member_stats", "user_channel_activity", "weekly_message_stats"}) {
    EXPECT_EQ(database_.Value(absl::StrCat("select min(as_of) = max(as_of) and max(as_of) <= now()"
                                           " and max(as_of) > now() - interval '1 hour' from ",
                                           view)),
              "t")
        << view;
  }
}

TEST_F(OptimizationsTest, AllSixViewsAreRefreshed) {
  Optimize();
  Fill();
  Say(1, "1 hour");
  database_.Run(
      "insert into join_leave (user_id, date, join_or_leave, server_name, server_id)"
      " values (1, now() at time zone 'UTC', 'join', '', 1)");
  steps_.clear();
  ASSERT_TRUE(Keep().RefreshViews().ok());
  ASSERT_EQ(steps_.size(), 6u);
  for (const UpkeepStep& step : steps_) {
    EXPECT_EQ(step.outcome, StepOutcome::kRefreshed);
    EXPECT_EQ(database_.Value("select count(*) from " + step.name), "1") << step.name;
  }
}

TEST_F(OptimizationsTest, FunctionsAnswer) {
  Optimize();
  Fill();
  EXPECT_EQ(database_.Value("select get_last_message_date(10) is null"), "t");
  Say(1, "2 hours");
  Say(2, "1 hour");
  EXPECT_EQ(database_.Value("select get_last_message_date(10) ="
                            " (select created_at from messages where message_id = 2)"),
            "t");

  database_.Run(R"(
      insert into error_telemetry (error_type, command_name, user_id, error_message, timestamp)
      select type, command, person, message, now() at time zone 'UTC' - age
      from (values ('Timeout', 'quote', 1, 'late', interval '1 day'),
                   ('Timeout', 'quote', 2, 'late', '2 days'), ('Timeout', 'link', 2, 'slow', '2 days'),
                   ('Missing', 'quote', 1, 'gone', '3 days'), ('Missing', 'quote', 1, 'old', '31 days'))
        v (type, command, person, message, age))");
  EXPECT_EQ(
      database_.Value("select string_agg(concat_ws(' ', error_type, command_name, error_count,"
                      " affected_users, last_occurrence - first_occurrence), ', ')"
                      " from get_error_statistics()"),
      "Timeout quote 2 2 1 day, Missing quote 1 1 00:00:00, Timeout link 1 1 00:00:00");
  EXPECT_EQ(database_.Value("select string_agg(concat_ws(' ', error_type, error_message,"
                            " error_count), ', ') from get_most_common_errors(2)"),
            "Timeout late 2, Missing gone 1");
  EXPECT_EQ(database_.Value("select count(*) from get_most_common_errors(10,"
                            " now()::timestamp - interval '40 days')"),
            "4");
}

TEST_F(OptimizationsTest, LargeTablesAreVacuumedEarly) {
  Optimize();
  EXPECT_EQ(database_.Value(R"(
      select string_agg(relname, ' ' order by relname) from pg_class
      where reloptions @> '{autovacuum_vacuum_scale_factor=0.05,autovacuum_vacuum_cost_delay=2}')"),
            "messages reactions role_membership");
}

class OptimizationsAfterTheBotTest : public OptimizationsTest {
 protected:
  OptimizationsAfterTheBotTest() : OptimizationsTest({"schema", "rows", "optimizations"}) {}
};

TEST_F(OptimizationsAfterTheBotTest, TakeThePlaceOfItsOwn) {
  EXPECT_THAT(Check(), IsEmpty());
  Optimize();
  EXPECT_THAT(Check(), IsEmpty());
  ASSERT_TRUE(Keep().RefreshViews().ok());
  EXPECT_EQ(database_.Value("select count(*) from pg_matviews"), "6");
  EXPECT_EQ(database_.Value("select string_agg(routine_name, ' ' order by routine_name)"
                            " from information_schema.routines where specific_schema = 'public'"
                            " and (routine_name like '%index%' or routine_name like 'get\\_%'"
                            "   or routine_name like 'refresh%')"),
            "get_error_statistics get_last_message_date get_most_common_errors index_bloat"
            " maintain_indexes refresh_materialized_views");
}

}  // namespace
}  // namespace twi::sql

// No statement reads a table that grows from its beginning to its end, unless its stanza says why:
// `-- scan: table: reason`.

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "sql/upkeep.h"
#include "tests/support/plans_fixture.h"

namespace twi {
namespace {

using repositories::Operation;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

// As the bot's tables are to each other, those of millions of rows scaled down the most: a scan is
// dearer than an index from some thousand rows on. Rows that are found by what is rare are rare.
constexpr char kTables[] = R"(
insert into servers (server_id, server_name) select i, 'Inn' from generate_series(1, 20) i;
insert into users (user_id, username) select i, 'somebody' || i from generate_series(1, 20000) i;
insert into channels (id, name, guild_id, allow_pins)
select i, 'general', 1 + i % 20, i % 100 = 0 from generate_series(1, 500) i;
insert into categories (id, name, guild_id) select i, 'general', 1 + i % 20 from generate_series(1, 100) i;
insert into roles (id, name, guild_id) select i, 'role', 1 + i % 20 from generate_series(1, 500) i;
insert into emotes (emote_id, name, guild_id) select i, 'emote', 1 + i % 20 from generate_series(1, 500) i;
insert into threads (id, guild_id, parent_id, name)
select 1000 + i, 1 + i % 20, 1 + i % 500, 'thread' from generate_series(1, 5000) i;
insert into thread_membership (user_id, thread_id)
select 1 + i % 20000, 1001 + i % 5000 from generate_series(1, 20000) i;
insert into server_membership (user_id, server_id) select i, 1 + i % 20 from generate_series(1, 20000) i;
insert into role_membership (user_id, role_id)
select i, 1 + (i * 7 + k) % 500 from generate_series(1, 20000) i, generate_series(1, 2) k;
insert into messages (message_id, created_at, content, server_name, server_id, channel_id, channel_name, user_id,
                      jump_url, is_bot)
select i, now() - (60000 - i) * interval '1 hour', repeat('text ', 10), 'Inn', 1 + i % 20, 1 + i % 500,
       'general', 1 + i % 5000, '', false
from generate_series(1, 60000) i;
insert into reactions (message_id, user_id, unicode_emoji, date)
select i, 1 + i % 5000, '🐸', now() - (60000 - i) * interval '1 hour' from generate_series(1, 60000, 2) i;
insert into mentions (message_id, user_mention) select i, 1 + i % 5000 from generate_series(1, 60000, 4) i;
insert into attachments (id, message_id, url) select i, i, '' from generate_series(1, 60000, 10) i;
insert into message_edit (id, edit_timestamp) select i, '2020-01-01' from generate_series(1, 60000, 10) i;
insert into embeds (id, message_id, description) select i, i, 'text' from generate_series(1, 60000, 10) i;
insert into embed_fields (embed_id, name, value) select i, '', '' from generate_series(1, 60000, 10) i;
insert into updates (updated_table, action, primary_key, date)
select 'channels', 'UPDATE_TOPIC', i % 500, timestamp '2020-01-01' + i * interval '1 hour'
from generate_series(1, 20000) i;
insert into command_history (command_name, start_date, user_id, channel_id, guild_id, slash_command)
select 'quote', timestamp '2020-01-01' + i * interval '1 hour', 1 + i % 5000, 1 + i % 500, 1 + i % 20, true
from generate_series(1, 30000) i;
insert into join_leave (user_id, user_name, date, join_or_leave, server_name, server_id)
select 1 + i % 20000, 'somebody', timestamp '2020-01-01' + i * interval '1 hour', 'join', 'Inn', 1 + i % 20
from generate_series(1, 20000) i;
insert into role_changes (user_id, server_id, role_id, action, timestamp)
select 1 + i % 20000, 1 + i % 20, 1 + i % 500, 'added', timestamp '2020-01-01' + i * interval '1 hour'
from generate_series(1, 20000) i;
insert into voice_activity (user_id, guild_id, channel_id, action, timestamp)
select 1 + i % 20000, 1 + i % 20, 1 + i % 500, 'joined', timestamp '2020-01-01' + i * interval '1 hour'
from generate_series(1, 20000) i;
insert into error_telemetry (error_type, error_message, timestamp)
select 'E', 'text', timestamp '2020-01-01' + i * interval '1 hour' from generate_series(1, 10000) i;
insert into bot_metrics (metric_type, timestamp)
select 'latency', timestamp '2020-01-01' + i * interval '1 hour' from generate_series(1, 10000) i;
insert into gallery_migration (message_id, channel_id, channel_name, guild_id, author_id, author_name, created_at,
                               migrated, needs_manual_review, reviewed)
select i, 1 + i % 50, 'art', 1, 1, 'somebody', timestamp '2020-01-01' + i * interval '1 hour', i % 10 > 0,
       i % 10 = 0, i % 20 = 0
from generate_series(1, 10000) i;
insert into reports (message_id, user_id, reason, reported_user_id, channel_id, guild_id, created_at)
select i, 1 + i % 5000, 'rude', 1 + i % 300, 1 + i % 500, 1 + i % 20, timestamp '2020-01-01' + i * interval '1 hour'
from generate_series(1, 5000) i;
insert into poll (id, title, start_date, expired)
select i, 'title ' || i, timestamp '2020-01-01' + i * interval '1 week', i < 490 from generate_series(1, 500) i;
insert into poll_option (option_id, poll_id, option_text)
select i, 1 + i % 500, 'text' || i from generate_series(1, 5000) i;
insert into quotes (quote, author, author_id, time)
select md5(i::text), 'somebody', i, timestamp '2020-01-01' + i * interval '1 hour' from generate_series(1, 1000) i;
insert into links (title, content, tag, guild_id)
select 'title ' || i, 'text', 'tag' || i % 20, 1 + i % 20 from generate_series(1, 1000) i;
insert into creator_links (user_id, title) select 1 + i % 300, 'title ' || i from generate_series(1, 1000) i;
insert into invisible_text_twi (title, content) select 'title ' || i, 'text' from generate_series(1, 1000) i;
vacuum analyze;
)";

/// Tables of thousands of rows and more, and the views of them. What a server's owner or moderators
/// write by hand, channels, roles, quotes, links, is hundreds of rows and a few pages.
const std::set<std::string> kGrowing = {"attachments",
                                        "bot_metrics",
                                        "channel_hourly_stats",
                                        "command_history",
                                        "embed_fields",
                                        "embeds",
                                        "error_telemetry",
                                        "gallery_migration",
                                        "join_leave",
                                        "mentions",
                                        "message_edit",
                                        "messages",
                                        "poll_option",
                                        "reactions",
                                        "reports",
                                        "role_changes",
                                        "role_membership",
                                        "server_membership",
                                        "thread_membership",
                                        "threads",
                                        "updates",
                                        "user_activity_stats",
                                        "user_channel_activity",
                                        "users",
                                        "voice_activity",
                                        "weekly_message_stats"};

// The plan of a statement for whatever arguments, so that NULL ones are as good as any; NULL when a
// relation is missing.
constexpr char kPlanOf[] = R"(
create function plan_of(statement text) returns json language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
  arguments text;
  plan json;
begin
  execute 'prepare p as ' || statement;
  select '(' || string_agg('null', ',') || ')' into arguments
  from pg_prepared_statements, unnest(parameter_types)
  where name = 'p';
  execute 'explain (format json) execute p' || coalesce(arguments, '') into plan;
  deallocate p;
  return plan -> 0 -> 'Plan';
exception
  when undefined_table then return null;
end $$)";

/// Growing tables that each operation reads whole.
using Scans = std::map<std::string, std::set<std::string>>;

void AddScans(const nlohmann::json& plan, std::set<std::string>* tables) {
  if (plan.at("Node Type") == "Seq Scan" && kGrowing.contains(plan.at("Relation Name"))) {
    tables->insert(plan.at("Relation Name"));
  }
  for (const auto& child : plan.value("Plans", nlohmann::json::array())) AddScans(child, tables);
}

class ScansTest : public testing::PlansTest {
 protected:
  ScansTest() : PlansTest(kTables) { database_.Run(kPlanOf); }

  /// Of the operations that find their relations; the others are added to `left`.
  Scans ScansOf(const std::vector<const Operation*>& operations,
                std::vector<const Operation*>* left) const {
    std::vector<const Operation*> of;
    std::vector<std::string> texts;
    for (const Operation* operation : operations) {
      for (const auto* statement : {&operation->statement(), operation->statement().several.get(),
                                    operation->next_statement()}) {
        if (statement == nullptr) continue;
        of.push_back(operation);
        texts.push_back(absl::StrCat("$statement$", statement->text, "$statement$"));
      }
    }
    const auto plans = nlohmann::json::parse(database_.Value(
        absl::StrCat("select json_agg(plan_of(s.text) order by s.place) from unnest(array[",
                     absl::StrJoin(texts, ", "), "]) with ordinality s (text, place)")));
    Scans scans;
    for (size_t i = 0; i < of.size(); ++i) {
      std::set<std::string> tables;
      if (!plans.at(i).is_null()) {
        AddScans(plans.at(i), &tables);
      } else if (left->empty() || left->back() != of[i]) {
        left->push_back(of[i]);
      }
      if (!tables.empty()) scans[of[i]->name()].merge(tables);
    }
    return scans;
  }

  /// What the stanzas say.
  static Scans Said() {
    std::map<std::string, std::string> services;
    for (const auto* service : DataServices()) {
      services[FileStem(service->file())] = service->name();
    }
    Scans said;
    for (const EmbeddedText& file : kRepositories) {
      std::vector<repositories::Problem> problems;
      const auto repository = repositories::Repository::Parse(file.name, file.text, &problems);
      for (const repositories::Stanza& stanza : repository.stanzas) {
        if (stanza.scans.empty()) continue;
        said[absl::StrCat(services[repository.stem], "/", stanza.name)] = stanza.scans;
      }
    }
    return said;
  }
};

TEST_F(ScansTest, OnlyWhatSaysSoReadsAGrowingTableWhole) {
  std::vector<const Operation*> operations;
  for (const auto& operation : catalog_->operations()) operations.push_back(operation.get());
  // Before there are indexes that not every database has.
  std::vector<const Operation*> of_views;
  Scans scans = ScansOf(operations, &of_views);
  EXPECT_EQ(of_views.size(), 6u);
  auto upkeep = sql::Upkeep::Load(database_.dsn(), {.step = {}, .waiting = {}});
  ASSERT_TRUE(upkeep.ok()) << upkeep.status();
  for (const char* set : {"base", "additional"}) ASSERT_TRUE(upkeep->Optimize(set).ok());
  database_.Run("vacuum analyze");
  std::vector<const Operation*> left;
  scans.merge(ScansOf(of_views, &left));
  EXPECT_THAT(left, IsEmpty());
  EXPECT_EQ(scans, Said());

  // An index that is missing is told.
  database_.Run("drop index idx_attachments_message_id; drop index weekly_message_stats_key");
  EXPECT_THAT(
      ScansOf({&Find("GetMessage"), &Find("ListWeeklyMessageStats")}, &left),
      ElementsAre(Pair("MessagesService/GetMessage", Contains("attachments")),
                  Pair("StatsService/ListWeeklyMessageStats", Contains("weekly_message_stats"))));
}

}  // namespace
}  // namespace twi

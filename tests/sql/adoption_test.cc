#include "sql/adoption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/support/bot.h"
#include "tests/support/database.h"

namespace twi::sql {
namespace {

using ::testing::AllOf;
using testing::Database;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Migrations Load(const Database& database) {
  auto migrations = Migrations::Load(database.dsn());
  EXPECT_TRUE(migrations.ok()) << migrations.status();
  return *std::move(migrations);
}

/// That the database is what the migrations make, and that they are noted.
void ExpectAdopted(const Database& database) {
  const Migrations migrations = Load(database);
  EXPECT_EQ(migrations.Pending().value(), 0);
  const SchemaCheck check = migrations.Check().value();
  EXPECT_THAT(check.differences, IsEmpty());
  EXPECT_THAT(check.foreign, IsEmpty());
  EXPECT_EQ(database.Value("select to_regnamespace('twi_data_adoption') is null"), "t");
  EXPECT_EQ(database.Value("select count(*) from pg_class where relname like 'twi_data_old_%'"),
            "0");
}

std::vector<std::string> Rejected(const Database& database) {
  std::vector<std::string> rejected;
  const auto all = Load(database).Rejected();
  EXPECT_TRUE(all.ok()) << all.status();
  for (const RejectedRows& rows : *all) {
    rejected.push_back(absl::StrCat(rows.rows, " ", rows.table, ": ", rows.reason));
  }
  return rejected;
}

/// The refused rows of `rows.sql`.
const std::vector<std::string> kRejected = {
    "1 attachments: refers to a row of messages that does not exist (attachments_messages_fk)",
    "1 creator_links: an earlier row has the same user_id, lower(title)"
    " (creator_links_user_id_title_key)",
    "1 embed_fields: refers to a row of embeds that was rejected",
    "1 embeds: refers to a row of messages that does not exist (embeds_messages_fk)",
    "1 gallery_mementos: an earlier row has the same channel_id (gallery_mementos_pk)",
    "1 gallery_mementos: guild_id is null",
    "1 gallery_migration: breaks gallery_migration_raw_embed_data_check",
    "1 gallery_migration: breaks gallery_migration_tags_check",
    "1 gallery_migration: breaks gallery_migration_target_forum_check",
    "1 join_leave: an earlier row has the same user_id, server_id, date, join_or_leave"
    " (join_leave_user_id_server_id_date_uindex)",
    "1 join_leave: breaks join_leave_join_or_leave_check",
    "1 join_leave: date is null",
    "1 links: an earlier row has the same lower(title) (links_title_key)",
    "1 links: title is null",
    "1 mentions: an earlier row has the same message_id, user_mention"
    " (mentions_message_id_user_mention_uindex)",
    "1 mentions: message_id is null",
    "1 mentions: refers to a row of messages that does not exist (mentions_messages_fk)",
    "1 message_edit: edit_timestamp is null",
    "1 message_edit: id is null",
    "1 poll_option: poll_id is null",
    "1 quotes: quote is null",
    "1 reactions: date is null",
    "1 reactions: message_id is null",
    "1 reports: an earlier row has the same message_id, user_id (reports_message_id_user_id_key)",
    "1 role_changes: an earlier row has the same user_id, role_id, \"timestamp\", server_id, action"
    " (role_changes_user_id_role_id_timestamp_uindex)",
    "1 role_changes: breaks role_changes_action_check",
    "1 server_membership: server_id is null",
    "1 server_membership: user_id is null",
    "1 thread_membership: an earlier row has the same user_id, thread_id"
    " (thread_membership_user_id_thread_id_uindex)",
    "1 thread_membership: user_id is null",
    "1 voice_activity: breaks voice_activity_action_check"};

/// The counts without the tables that the bot's script does not make.
std::vector<std::string> WithoutNewTables(std::vector<std::string> counts) {
  std::erase(counts, "server_settings 0");
  std::erase(counts, "schema_embeddings 0");
  return counts;
}

TEST(AdoptionTest, ABotsDatabaseBecomesWhatMigrationsMake) {
  Database database;
  testing::MakeBots(database, {"schema", "rows", "duplicates"});
  const std::vector<std::string> before = testing::Counts(database);
  ASSERT_EQ(before.size(), 46u);
  const std::string file = database.Value("select pg_relation_filenode('messages')");

  const absl::Status status = Load(database).Up({});
  ASSERT_TRUE(status.ok()) << status;
  ExpectAdopted(database);
  EXPECT_EQ(WithoutNewTables(testing::Counts(database)), before);
  std::vector<std::string> rejected = kRejected;
  rejected.insert(rejected.begin(),
                  {"2 attachments: an earlier row has the same id (attachments_pk)",
                   "2 attachments: id is null"});
  EXPECT_EQ(Rejected(database), rejected);
  EXPECT_EQ(database.Value(R"(
      select row::text from twi_data_rejected
      where "table" = 'attachments' and row ->> 'filename' = 'b again')"),
            R"({"id": 2, "url": null, "size": null, "width": null, "height": null, )"
            R"("filename": "b again", "is_spoiler": null, "message_id": 102})");
  // Its rows were not written anew.
  EXPECT_EQ(database.Value("select pg_relation_filenode('messages')"), file);
}

TEST(AdoptionTest, ADatabaseWithAllThatTheBotAddsDoes) {
  Database database;
  testing::MakeBots(database, {"schema", "rows", "optimizations"});
  const std::vector<std::string> before = testing::Counts(database);
  const std::string file = database.Value("select pg_relation_filenode('messages')");
  const absl::Status status = Load(database).Up({});
  ASSERT_TRUE(status.ok()) << status;
  ExpectAdopted(database);
  EXPECT_EQ(WithoutNewTables(testing::Counts(database)), before);
  EXPECT_EQ(Rejected(database), kRejected);
  EXPECT_EQ(database.Value("select pg_relation_filenode('messages')"), file);
  EXPECT_EQ(database.Value("select count(*) from pg_constraint where not convalidated"), "0");
}

TEST(AdoptionTest, EmbeddingsStayVectors) {
  Database database;
  testing::MakeBots(database, {"schema", "rows", "pgvector", "embeddings"});
  const absl::Status status = Load(database).Up({});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(Load(database).Check()->differences, IsEmpty());
  EXPECT_EQ(Rejected(database), kRejected);
  EXPECT_EQ(database.Value(R"(
      select string_agg(concat(table_name, ' ',
        embedding_distance(embedding, array_fill(1::real, array[1536]))::real::numeric(3, 2)),
        ', ' order by id)
      from schema_embeddings)"),
            "users 0.00, messages ");
  EXPECT_EQ(database.Value("select count(*) from pg_proc where proname like 'update_schema%'"),
            "0");
}

TEST(AdoptionTest, ASecondTimeNothingIsToDo) {
  Database database;
  testing::MakeBots(database, {"schema", "rows"});
  std::vector<std::string> steps;
  const auto report = [&](const MigrationStep& step) {
    EXPECT_EQ(step.kind, MigrationStep::Kind::kAdopt);
    steps.push_back(step.name);
  };
  ASSERT_TRUE(Load(database).Up(report).ok());
  EXPECT_THAT(steps, ElementsAre("missing tables", "columns", "required values", "keys", "indexes",
                                 "foreign keys", "functions"));
  steps.clear();
  ASSERT_TRUE(Load(database).Up(report).ok());
  EXPECT_THAT(steps, IsEmpty());
  EXPECT_EQ(Rejected(database), kRejected);
}

TEST(AdoptionTest, ValuesKeepWhatTheyMeant) {
  Database database;
  testing::MakeBots(database, {"schema", "rows"});
  ASSERT_TRUE(Load(database).Up({}).ok());
  for (const auto& [sql, value] : std::vector<std::pair<const char*, const char*>>{
           {"select count(*) from messages where deleted", "4"},
           {"select count(*) from messages where not deleted", "56"},
           {"select concat_ws(' ', footer_icon_url, thumbnail_url, author_icon_url, created_at)"
            " from embeds",
            "icon thumb face 2024-01-01 01:00:00"},
           {"select string_agg(concat_ws(' ', field_order, name, inline), ', ' order by "
            "field_order)"
            " from embed_fields",
            "0 first f, 1 second t"},
           {"select string_agg(server_name, ',' order by id) from join_leave", "The Inn,The Inn,"},
           {"select args ->> 'text' || (args ->> 'path') from command_history where user_id = 2",
            "a\uFFFDbc\\u0000d"},
           {"select string_agg(concat(images, ' ', tags), ', ' order by id) from gallery_migration",
            "[\"https://i\"] [\"ink\"], [] [], [\"https://j\"] []"},
           {"select string_agg(coalesce(raw_embed_data::text, 'none'), ', ' order by id)"
            " from gallery_migration",
            "{\"title\": \"t\"}, none, {\"title\": \"u\"}"},
           {"select string_agg(num_votes::text, ',' order by option_id) from poll_option", "5,0"},
           {"select option_id from poll_option where tokens @@ to_tsquery('english', 'sing')", "1"},
           {"select serial_id from quotes where tokens @@ to_tsquery('english', 'sing')", "1"},
           {"select quote from quotes where time < '2000-01-01'", "When?"},
           {"select title from links where time_added < '2000-01-01'", "Wiki"},
           {"select string_agg(title, ',' order by title) from creator_links where user_id = 1",
            "Art"},
           {"select string_agg(concat(self_assignable, weight, deleted), ',' order by id) from "
            "roles",
            "f0f,t5f"},
           {"insert into links (title) values ('new') returning id", "5"},
           {"insert into poll (id) values (9) returning index_serial", "3"},
           {"insert into foliana_interlude default values returning serial_id", "2"},
           {"select obj_description('gallery_migration'::regclass)", "What moves into the forums"},
       }) {
    EXPECT_EQ(database.Value(sql), value) << sql;
  }
}

TEST(AdoptionTest, WhatProductionLacksIsMade) {
  Database database;
  testing::MakeBots(database, {"schema", "rows"});
  database.Run(R"(
      drop table reports, embed_fields, embeds, reactions, attachments, role_changes, voice_activity,
        error_telemetry, gallery_migration, bot_metrics, twi_reddit, banned_words;
      alter table channels drop allow_pins;
      alter table roles drop auto_replace, drop required_roles;
      alter table quotes alter serial_id drop default, drop tokens;
      drop sequence quotes_serial_id_seq;
      drop index messages_user_id_index;
      alter table join_leave drop created_at)");
  const absl::Status status = Load(database).Up({});
  ASSERT_TRUE(status.ok()) << status;
  ExpectAdopted(database);
  EXPECT_EQ(database.Value("select count(*) from messages"), "60");
  EXPECT_EQ(database.Value("insert into quotes (quote) values ('new') returning serial_id"), "4");
}

TEST(AdoptionTest, WhatOthersHaveAddedStays) {
  Database database;
  testing::MakeBots(database, {"schema", "rows"});
  database.Run(R"(
      create table recipes (id bigint primary key, title varchar);
      insert into recipes values (1, 'blue fruit juice');
      create view recipe_titles as select title from recipes;
      alter table users add shoe_size integer;
      update users set shoe_size = 38 where user_id = 1;
      create index messages_by_name on messages (user_name))");
  const absl::Status status = Load(database).Up({});
  ASSERT_TRUE(status.ok()) << status;
  const SchemaCheck check = Load(database).Check().value();
  EXPECT_THAT(check.differences,
              ElementsAre("column users.shoe_size is there, and no migration makes it",
                          "index messages_by_name is there, and no migration makes it"));
  EXPECT_THAT(check.foreign, ElementsAre("table recipes is there, and no migration makes it",
                                         "view recipe_titles is there, and no migration makes it"));
  EXPECT_EQ(database.Value("select title from recipe_titles"), "blue fruit juice");
  EXPECT_EQ(database.Value("select shoe_size from users where user_id = 1"), "38");
}

TEST(AdoptionTest, ItGoesOnWhereItWasCutShort) {
  Database database;
  testing::MakeBots(database, {"schema", "rows", "optimizations"});
  const std::vector<std::string> before = testing::Counts(database);
  for (const std::string last : {"missing tables", "columns", "required values", "keys", "indexes",
                                 "foreign keys", "functions"}) {
    const absl::Status status = Load(database).Up([&](const MigrationStep& step) {
      if (step.name != last) return;
      database.Run(R"(
          select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid()
            and backend_type = 'client backend')");
    });
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << last;
    EXPECT_EQ(Load(database).Current().value(), 0) << last;
  }
  const absl::Status status = Load(database).Up({});
  ASSERT_TRUE(status.ok()) << status;
  ExpectAdopted(database);
  EXPECT_EQ(WithoutNewTables(testing::Counts(database)), before);
  EXPECT_EQ(Rejected(database), kRejected);
}

TEST(AdoptionTest, AnIndexThatIsHalfMadeIsMadeAnew) {
  Database database;
  testing::MakeBots(database, {"schema", "rows", "optimizations"});
  database.Run(R"(
      alter index idx_messages_channel_created rename to twi_data_old_idx_messages_channel_created;
      create index idx_messages_channel_created on messages (channel_id, created_at, message_id);
      update pg_index set indisvalid = false
      where indexrelid = 'idx_messages_channel_created'::regclass)");
  const absl::Status status = Load(database).Up({});
  ASSERT_TRUE(status.ok()) << status;
  ExpectAdopted(database);
}

TEST(AdoptionTest, TheBotMayWriteMeanwhile) {
  Database database;
  testing::MakeBots(database, {"schema", "rows", "optimizations"});
  // Each writes rows of the bot and refused ones, until it is told to stop.
  database.Run(R"(
      create sequence written;
      create procedure write_on() language plpgsql as $$
      begin
        while to_regclass('stop') is null loop
          begin
            insert into messages (message_id, created_at, server_name, server_id, channel_id, user_id,
              jump_url, is_bot)
            values (1000 + nextval('written'), '2024-02-01', 'The Inn', 10, 21, 1, '', false);
            insert into mentions (message_id, user_mention) values (1000 + currval('written'), 1);
            insert into reactions (message_id, user_id, unicode_emoji, date)
            values (1000 + currval('written'), 1, 'x', case when random() < 0.5 then now() end);
            insert into thread_membership (user_id, thread_id) values (7, 60);
          exception when others then
            perform setval('written', currval('written'));
          end;
          commit;
          perform pg_sleep(0.001);
        end loop;
      end
      $$)");
  std::thread bot([&] { database.Run("call write_on()"); });
  while (database.Value("select last_value > 3 from written") == "f") {
  }
  const absl::Status status = Load(database).Up({});
  database.Run("create table stop ()");
  bot.join();
  ASSERT_TRUE(status.ok()) << status;
  database.Run("drop table stop; drop procedure write_on(); drop sequence written");
  ExpectAdopted(database);
  EXPECT_EQ(database.Value("select count(*) from thread_membership where user_id = 7"), "1");
}

TEST(AdoptionTest, WhatTheDatabaseRefusesIsToldAndLaterDone) {
  Database database;
  testing::MakeBots(database, {"schema", "rows"});
  database.Run("create table frames (channel varchar references gallery_mementos (channel_name))");
  const absl::Status status = Load(database).Up({});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("run it again and it goes on"),
                    HasSubstr("constraint frames_channel_fkey on table frames depends on")));
  EXPECT_EQ(Load(database).Current().value(), 0);
  database.Run("drop table frames");
  ASSERT_TRUE(Load(database).Up({}).ok());
  ExpectAdopted(database);
  EXPECT_EQ(Rejected(database), kRejected);
}

TEST(AdoptionTest, AStepThatWaitsTooLongIsTriedFiveTimes) {
  Database database;
  testing::MakeBots(database, {"schema", "rows"});
  // What a lock that does not come makes of the first step that changes messages.
  database.Run(R"(
      create sequence tries;
      create function wait() returns trigger language plpgsql as $$
      begin
        if nextval('tries') < 10 then
          raise exception 'no lock' using errcode = 'lock_not_available';
        end if;
        return new;
      end
      $$;
      create trigger wait before update on messages for each row execute function wait())");
  const absl::Status first = Load(database).Up({});
  EXPECT_EQ(first.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(first.message()), HasSubstr("no lock"));
  EXPECT_EQ(database.Value("select last_value from tries"), "5");
  const absl::Status second = Load(database).Up({});
  ASSERT_TRUE(second.ok()) << second;
  database.Run("drop trigger wait on messages; drop function wait(); drop sequence tries");
  ExpectAdopted(database);
}

}  // namespace
}  // namespace twi::sql

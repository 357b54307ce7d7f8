// Changes by whoever makes them, as the listener hears of them in each way to follow them.

#include "sql/follower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sql/outbox.h"
#include "sql/replication.h"
#include "tests/support/database.h"
#include "tests/support/follow.h"
#include "tests/support/recorder.h"

namespace twi::sql {
namespace {

using ::testing::Contains;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class FollowerTest : public ::testing::TestWithParam<ChangesFrom> {
 protected:
  FollowerTest() {
    database_.Run(
        "create table guild (id bigint primary key, name text);"
        "create table post (guild_id bigint not null references guild on delete cascade,"
        "  id bigint not null, body text, primary key (guild_id, id));"
        "create table keyless (id bigint);"
        "create table day (id bigint not null, at date not null, primary key (id, at))"
        "  partition by range (at);"
        "create table day_1 partition of day for values from ('2020-01-01') to ('2021-01-01')");
    Prepare();
    Follow();
    recorder_.Until([this] { return recorder_.opened == 1; });
  }

  void Prepare() const { testing::PrepareToFollow(database_.dsn(), GetParam()); }
  void Follow() {
    source_ = std::make_unique<Follower>(
        Follower::Options{.dsn = database_.dsn(), .only = GetParam()}, &recorder_);
  }
  bool outbox() const { return GetParam() == ChangesFrom::kOutbox; }

  /// All that has been committed so far, once it is known to be told, but for what was asked for
  /// before.
  std::vector<Changes> Told() {
    const auto since = BootClock::now();
    source_->Freshen();
    std::vector<Changes> commits;
    recorder_.Until([&] {
      if (recorder_.current < since) return false;
      commits.swap(recorder_.commits);
      return true;
    });
    return commits;
  }

  /// What one script of somebody else's did.
  std::vector<Changes> After(const std::string& script) {
    Told();
    database_.Run(script);
    return Told();
  }

  /// Of the only transaction that changed anything.
  TableChanges Only(const std::string& script, const std::string& table) {
    const Oid oid = OidOf(table);
    std::vector<TableChanges> found;
    for (const Changes& changes : After(script)) {
      if (const auto of_table = changes.tables.find(oid); of_table != changes.tables.end()) {
        found.push_back(of_table->second);
      }
    }
    EXPECT_EQ(found.size(), 1U) << script;
    return found.empty() ? TableChanges() : found.front();
  }

  Oid OidOf(const std::string& table) const {
    return static_cast<Oid>(std::stoul(database_.Value("select '" + table + "'::regclass::oid")));
  }
  KeyHash Key(const std::string& table, const char* column, const char* value) const {
    return HashKey(OidOf(table), column, value);
  }

  testing::Database database_;
  testing::Recorder recorder_;
  std::unique_ptr<Follower> source_;
};

TEST_P(FollowerTest, RowsAreToldByTheirKeys) {
  EXPECT_THAT(Only("insert into guild values (7, 'x')", "guild").keys,
              UnorderedElementsAre(Key("guild", "id", "7")));
  EXPECT_THAT(Only("update guild set name = 'y'", "guild").keys,
              UnorderedElementsAre(Key("guild", "id", "7")));
  EXPECT_THAT(Only("update guild set id = 8", "guild").keys,
              UnorderedElementsAre(Key("guild", "id", "7"), Key("guild", "id", "8")));
  EXPECT_THAT(Only("delete from guild", "guild").keys,
              UnorderedElementsAre(Key("guild", "id", "8")));
}

TEST_P(FollowerTest, EveryColumnOfTheKeyIsTold) {
  database_.Run("insert into guild values (7, 'x')");
  EXPECT_THAT(Only("insert into post values (7, 1, 'body')", "post").keys,
              UnorderedElementsAre(Key("post", "guild_id", "7"), Key("post", "id", "1")));
}

TEST_P(FollowerTest, KeysAreUtf8WhateverClientsGetByDefault) {
  source_.reset();
  database_.Run(
      "create table word (word text primary key);"
      "do $$ begin execute format('alter database %I set client_encoding = latin1',"
      "  current_database()); end $$");
  Prepare();
  Follow();
  recorder_.Until([this] { return recorder_.opened == 2; });
  EXPECT_THAT(Only("insert into word values (chr(233))", "word").keys,
              UnorderedElementsAre(Key("word", "word", "\u00e9")));
}

TEST_P(FollowerTest, ATransactionIsToldOnceAndWithItsNumber) {
  const auto all = After(
      "begin; insert into guild values (1), (2); insert into post values (1, 1);"
      "savepoint s; insert into guild values (3); rollback to s; commit");
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].tables.size(), 2U);
  EXPECT_EQ(std::to_string(all[0].transaction), database_.Value("select xmin from guild limit 1"));
}

TEST_P(FollowerTest, WhoCommitsLateIsToldThen) {
  const testing::Session late(database_);
  late.Run("begin; insert into guild values (7)");
  EXPECT_EQ(After("insert into guild values (8)").size(), 1U);
  EXPECT_TRUE(After("select 1").empty());
  late.Run("commit");
  const auto told = Told();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_THAT(told[0].tables.at(OidOf("guild")).keys,
              UnorderedElementsAre(Key("guild", "id", "7")));
}

TEST_P(FollowerTest, WhatIsRolledBackIsNotTold) {
  EXPECT_TRUE(After("begin; insert into guild values (1); rollback").empty());
}

TEST_P(FollowerTest, CascadesTriggersAndMergesAreTold) {
  database_.Run(
      "insert into guild values (1), (2); insert into post values (1, 1);"
      "create function also() returns trigger language plpgsql as $$ begin"
      "  insert into guild values (100 + new.id); return null; end $$;"
      "create trigger also after insert on post for each row execute function also()");
  EXPECT_THAT(Only("delete from guild where id = 1", "post").keys,
              Contains(Key("post", "id", "1")));
  EXPECT_THAT(Only("insert into post values (2, 5)", "guild").keys,
              UnorderedElementsAre(Key("guild", "id", "105")));
  EXPECT_THAT(Only("merge into guild g using (values (2)) v(id) on g.id = v.id"
                   " when matched then update set name = 'm'",
                   "guild")
                  .keys,
              UnorderedElementsAre(Key("guild", "id", "2")));
}

TEST_P(FollowerTest, TruncatedTablesAreToldAsAWhole) {
  const auto all = After("truncate guild cascade");
  ASSERT_FALSE(all.empty());
  for (const char* table : {"guild", "post"}) {
    EXPECT_TRUE(all.back().tables.at(OidOf(table)).whole) << table;
  }
}

TEST_P(FollowerTest, ManyRowsAreToldAsAWhole) {
  const TableChanges changes = Only("insert into guild select generate_series(1, 1000)", "guild");
  EXPECT_TRUE(changes.whole);
}

TEST_P(FollowerTest, APartitionCountsAsItsTable) {
  for (const char* target : {"day", "day_1"}) {
    const TableChanges changes =
        Only(absl::StrCat("insert into ", target, " values (5, '2020-02-02')"), "day");
    // The outbox tells nothing of a partition's rows, and answers do not depend on single ones.
    EXPECT_EQ(changes.whole, outbox());
    if (!outbox()) {
      EXPECT_THAT(changes.keys, Contains(Key("day", "id", "5")));
    }
    database_.Run("truncate day");
  }
}

TEST_P(FollowerTest, LargeTransactionsAreToldAtTheirCommit) {
  database_.Run("alter system set logical_decoding_work_mem = '64kB'");
  database_.Run("select pg_reload_conf()");
  const auto all = After(
      "begin; insert into guild select generate_series(1, 20000);"
      "savepoint s; insert into post select 1, generate_series(1, 20000); rollback to s; commit;"
      "begin; insert into guild select generate_series(30000, 50000); rollback");
  database_.Run("alter system reset logical_decoding_work_mem");
  database_.Run("select pg_reload_conf()");
  int of_guild = 0;
  for (const Changes& changes : all) of_guild += changes.tables.contains(OidOf("guild"));
  EXPECT_EQ(of_guild, 1);
}

TEST_P(FollowerTest, SchemaChangesAreToldInTheirPlaceAndTemporaryTablesAreNone) {
  const auto schema_changes = [&](const std::string& script) {
    int count = 0;
    for (const Changes& changes : After(script)) count += changes.schema;
    return count;
  };
  EXPECT_EQ(schema_changes("alter table guild add column more text"), 1);
  EXPECT_EQ(schema_changes("alter table guild replica identity full"), 1);
  EXPECT_EQ(schema_changes("alter publication twi_data set (publish = 'insert')"), 1);
  EXPECT_EQ(schema_changes("alter publication twi_data set (publish = 'insert, update, delete, "
                           "truncate')"),
            1);
  EXPECT_EQ(schema_changes("create view v as select id from guild"), 1);
  EXPECT_EQ(schema_changes("drop view v"), 1);
  EXPECT_EQ(schema_changes("create table other (id bigint primary key)"), 1);
  EXPECT_EQ(schema_changes("create materialized view m as select id from guild"), 1);
  EXPECT_EQ(schema_changes("refresh materialized view m"), 1);
  EXPECT_EQ(schema_changes("create temp table t (id bigint); insert into t values (1);"
                           "alter table t add column more text; drop table t"),
            0);
}

TEST_P(FollowerTest, SchemaChangesAreFoundWithoutEventTriggersToo) {
  database_.Run(
      "drop event trigger twi_data_ddl; drop event trigger twi_data_drop;"
      "create unique index post_id on post (id); create unique index post_id_2 on post (id)");
  const auto seen = [&] {
    int count = 0;
    recorder_.Until([&] {
      count = recorder_.schema_changes;
      return true;
    });
    return count;
  };
  // Two looks a second apart have to differ, and the first may not have been taken yet. What
  // becomes of one thing only must be found, so each is done again and again.
  const auto expect_found = [&](const std::string& even, const std::string& odd) {
    const int before = seen();
    int round = 0;
    while (seen() == before && round < 100) {
      database_.Run(round++ % 2 == 0 ? even : odd);
      database_.Run("select pg_sleep(0.3)");
    }
    EXPECT_GT(seen(), before) << even;
  };
  expect_found("alter table guild add column c text", "alter table guild drop column c");
  database_.Run("alter table post replica identity using index post_id");
  database_.Run("select pg_sleep(2.5)");
  expect_found("alter table post replica identity using index post_id_2",
               "alter table post replica identity using index post_id");
  expect_found("alter publication twi_data set (publish = 'insert')",
               "alter publication twi_data set (publish = 'insert, update, delete, truncate')");
}

TEST_P(FollowerTest, WhatIsNotWrittenYetIsPushed) {
  // Visible at once, and written by the log's own pace only.
  const auto all = After("set synchronous_commit = off; insert into guild values (1)");
  EXPECT_EQ(all.size(), 1U);
}

TEST_P(FollowerTest, ALostStreamIsOpenedAgain) {
  for (int i = 1; i <= 3; ++i) {
    database_.Run(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and application_name = 'twi-data changes'");
    recorder_.Until([&] { return recorder_.closed == i && recorder_.opened == i + 1; });
  }
  EXPECT_EQ(After("insert into guild values (1)").size(), 1U);
}

TEST_P(FollowerTest, ItLeavesNothingBehind) {
  database_.Run("insert into guild values (1)");
  source_.reset();
  recorder_.Until([&] { return recorder_.closed == 1; });
  if (outbox()) {
    EXPECT_EQ(database_.Value("select count(*) from twi_data.outbox"), "0");
    EXPECT_EQ(database_.Value("select count(*) from twi_data.outbox_reader"), "0");
  }
  while (database_.Value("select count(*) from pg_replication_slots where database = "
                         "current_database()") != "0") {
  }
}

TEST_P(FollowerTest, TablesWithoutAKeyAreLeftOut) {
  // Published, it would refuse others' updates.
  database_.Run("insert into keyless values (1); update keyless set id = 2; delete from keyless");
  database_.Run("alter table keyless add primary key (id)");
  Prepare();
  EXPECT_THAT(Only("insert into keyless values (5)", "keyless").keys,
              Contains(Key("keyless", "id", "5")));
  database_.Run("alter table keyless replica identity full");
  database_.Run("update keyless set id = 6; delete from keyless");
  database_.Run(
      "create table loose (id bigint primary key deferrable); insert into loose values (1)");
  Prepare();
  database_.Run("update loose set id = 2");
}

INSTANTIATE_TEST_SUITE_P(Ways, FollowerTest, testing::kWays, testing::NameOfWay);

TEST(FollowerCheckTest, SaysWhatIsMissing) {
  testing::Database database;
  EXPECT_EQ(Replication::Check(database.dsn()).message(),
            "there is no publication: run `twi-data migrate up`");
  EXPECT_EQ(Outbox::Check(database.dsn()).message(), "there is none: run `twi-data migrate up`");
  testing::PrepareToFollow(database.dsn(), ChangesFrom::kOutbox);
  EXPECT_TRUE(Replication::Check(database.dsn()).ok());
  EXPECT_TRUE(Outbox::Check(database.dsn()).ok());
  EXPECT_TRUE(absl::IsUnavailable(Replication::Check("host=/nowhere")));
  EXPECT_TRUE(absl::IsUnavailable(Outbox::Check("host=/nowhere")));
}

}  // namespace
}  // namespace twi::sql

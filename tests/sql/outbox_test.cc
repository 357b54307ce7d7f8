// The outbox's triggers, and who reads what they write. What it tells is follower_test's.

#include "sql/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "sql/dependencies.h"
#include "sql/follower.h"
#include "tests/support/database.h"
#include "tests/support/follow.h"
#include "tests/support/recorder.h"

namespace twi::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class OutboxTest : public ::testing::Test {
 protected:
  OutboxTest() {
    database_.Run(
        "create table item (id bigint primary key, team text, body text);"
        "insert into item values (1, 'a', 'x')");
    Prepare();
  }

  void Prepare() const {
    testing::PrepareToFollow(database_.dsn(), ChangesFrom::kOutbox);
    // A published table without a key could not be written to.
    database_.Run("drop publication twi_data");
  }

  /// One more who reads.
  struct Reader {
    explicit Reader(const std::string& dsn)
        : source({.dsn = dsn, .only = ChangesFrom::kOutbox}, &recorder) {
      recorder.Until([this] { return recorder.opened == 1; });
    }
    /// What has been told since this was asked last, once all is.
    std::vector<Changes> Told() {
      const auto since = BootClock::now();
      source.Freshen();
      std::vector<Changes> commits;
      recorder.Until([&] {
        if (recorder.current < since) return false;
        commits.swap(recorder.commits);
        return true;
      });
      return commits;
    }

    testing::Recorder recorder;
    Follower source;
  };
  std::unique_ptr<Reader> Read() const { return std::make_unique<Reader>(database_.dsn()); }

  /// How many there are of tables. Changes of the schema are written down even when nobody reads.
  std::string Rows() const {
    return database_.Value("select count(*) from twi_data.outbox where relation <> 0");
  }
  Oid OidOf(const std::string& table) const {
    return static_cast<Oid>(std::stoul(database_.Value("select '" + table + "'::regclass::oid")));
  }
  /// What is told of the table, all in all.
  TableChanges Of(const std::string& table, const std::vector<Changes>& told) const {
    TableChanges all;
    for (const Changes& changes : told) {
      const auto found = changes.tables.find(OidOf(table));
      if (found == changes.tables.end()) continue;
      for (KeyHash key : found->second.keys) all.Add(key);
      if (found->second.whole) all.AddAll();
    }
    return all;
  }
  KeyHash Item(const char* id) const { return HashKey(OidOf("item"), "id", id); }

  /// Why answers of the statement are not kept.
  std::string Refusal(const std::string& text) const {
    const auto all = FindDependencies(database_.dsn(), {Statement{"", text}}, ChangesFrom::kOutbox);
    EXPECT_TRUE(all.ok()) << all.status();
    return all.ok() ? all->each.at(0).refusal : "";
  }

  testing::Database database_;
};

constexpr char kLacks[] = " lacks triggers that tell of it";

TEST_F(OutboxTest, NothingIsWrittenWhileNobodyReads) {
  database_.Run("update item set body = 'y'; alter table item add column more text");
  EXPECT_EQ(Rows(), "0");
  auto reader = Read();
  database_.Run("update item set body = 'z'");
  EXPECT_EQ(Rows(), "1");
  EXPECT_THAT(Of("item", reader->Told()).keys, ElementsAre(Item("1")));
}

TEST_F(OutboxTest, AStatementWithoutRowsIsNoChange) {
  auto reader = Read();
  reader->Told();
  database_.Run(
      "update item set body = 'z' where id = 0; delete from item where id = 0;"
      "insert into item select 2 where false");
  EXPECT_EQ(Rows(), "0");
  EXPECT_THAT(reader->Told(), IsEmpty());
}

TEST_F(OutboxTest, WhoseSnapshotIsOlderThanTheReaderIsTold) {
  const testing::Session old(database_);
  old.Run("begin isolation level repeatable read; select count(*) from item");
  auto reader = Read();
  old.Run("insert into item values (2); commit");
  EXPECT_THAT(Of("item", reader->Told()).keys, ElementsAre(Item("2")));
}

TEST_F(OutboxTest, RolesThatAvoidTriggersAreTold) {
  auto reader = Read();
  database_.Run("set session_replication_role = replica; update item set body = 'z'");
  EXPECT_THAT(Of("item", reader->Told()).keys, ElementsAre(Item("1")));
}

TEST_F(OutboxTest, WhoMayOnlyWriteTheTableIsTold) {
  auto reader = Read();
  database_.Run(
      "drop role if exists outbox_writer; create role outbox_writer;"
      "grant select, update on item to outbox_writer");
  // His own of the names that the triggers use come to nothing.
  database_.Run(
      "set role outbox_writer; create temp table outbox (xid int);"
      "update item set body = 'z'; reset role");
  EXPECT_THAT(Of("item", reader->Told()).keys, ElementsAre(Item("1")));
  database_.Run("drop owned by outbox_writer; drop role outbox_writer");
}

TEST_F(OutboxTest, AKeyOfAnotherNameIsToldAsAWholeAndStopsNoWrites) {
  auto reader = Read();
  database_.Run("alter table item rename id to code; update item set body = 'z'");
  EXPECT_TRUE(Of("item", reader->Told()).whole);
  database_.Run("alter table item drop column code; alter table item drop column team");
  database_.Run("update item set body = 'y'; delete from item");
  EXPECT_TRUE(Of("item", reader->Told()).whole);
  database_.Run("alter table item add column name text primary key");
  Prepare();
  reader->Told();
  database_.Run("insert into item values ('q', 'r')");
  EXPECT_THAT(Of("item", reader->Told()).keys, ElementsAre(HashKey(OidOf("item"), "name", "r")));
}

TEST_F(OutboxTest, KeysAreWhatTriggersTellOf) {
  const auto all = FindDependencies(database_.dsn(),
                                    {Statement{"", "select body from item where id = $1"},
                                     Statement{"", "select body from item where team = $1"}},
                                    ChangesFrom::kOutbox);
  ASSERT_TRUE(all.ok());
  ASSERT_THAT(all->each[0].tables, SizeIs(1));
  EXPECT_EQ(all->each[0].refusal, "");
  ASSERT_THAT(all->each[0].tables[0].keys, SizeIs(1));
  EXPECT_EQ(all->each[0].tables[0].keys[0].column, "id");
  EXPECT_THAT(all->each[1].tables.at(0).keys, IsEmpty());
}

TEST_F(OutboxTest, WhatATriggerDoesNotTellOfIsNotKept) {
  const std::string text = "select body from item where id = $1";
  for (const char* silence :
       {"disable trigger all", "disable trigger twi_data_update", "enable trigger twi_data_delete",
        "enable replica trigger twi_data_insert"}) {
    EXPECT_EQ(Refusal(text), "") << silence;
    database_.Run(absl::StrCat("alter table item ", silence));
    EXPECT_EQ(Refusal(text), absl::StrCat("item", kLacks)) << silence;
    Prepare();
  }
  database_.Run("drop trigger twi_data_truncate on item");
  EXPECT_EQ(Refusal(text), absl::StrCat("item", kLacks));
  Prepare();
  EXPECT_EQ(Refusal(text), "");
}

TEST_F(OutboxTest, WhatNoStatementTriggerFiresForIsNotKept) {
  database_.Run(
      "create table parent (id bigint primary key); create table child () inherits (parent);"
      "create table day (id bigint) partition by list (id);"
      "create table day_1 partition of day for values in (1)");
  Prepare();
  EXPECT_EQ(Refusal("select id from child"), absl::StrCat("child", kLacks));
  EXPECT_EQ(Refusal("select id from day"), "");
  EXPECT_EQ(Refusal("select id from day_1"), "");
  database_.Run("create table day_2 partition of day for values in (2)");
  EXPECT_EQ(Refusal("select id from day"), absl::StrCat("day", kLacks));
  Prepare();
  EXPECT_EQ(Refusal("select id from day"), "");
  database_.Run(
      "set allow_system_table_mods = on;"
      "insert into pg_subscription_rel values (1, 'item'::regclass, 'r', null)");
  EXPECT_EQ(Refusal("select id from item"), absl::StrCat("item", kLacks));
  database_.Run("set allow_system_table_mods = on; delete from pg_subscription_rel");
}

TEST_F(OutboxTest, ForeignPartitionsMayBeWritten) {
  database_.Run(
      "create table day (id bigint) partition by list (id);"
      "create table day_1 partition of day for values in (1)");
  Prepare();
  database_.Run(
      "create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing;"
      "create foreign table day_2 partition of day for values in (2) server nowhere;"
      "insert into day values (1); delete from day_1");
  EXPECT_EQ(Refusal("select id from day"), absl::StrCat("day", kLacks));
}

TEST_F(OutboxTest, WhatSomebodyHasNotReadYetIsKept) {
  auto slow = Read();
  database_.Run("update item set body = 'y'");
  auto quick = Read();
  EXPECT_NE(Rows(), "0");
  slow.reset();
  // A transaction that is under way in any database keeps what came after it.
  const auto end = BootClock::now() + std::chrono::seconds(60);
  for (auto last = Read(); Rows() != "0"; last = Read()) ASSERT_LT(BootClock::now(), end);
}

TEST_F(OutboxTest, WhoseRegistrationIsGoneBeginsAnew) {
  auto reader = Read();
  database_.Run("delete from twi_data.outbox_reader");
  reader->recorder.Until([&] { return reader->recorder.opened == 2; });
  EXPECT_EQ(reader->recorder.closed, 1);
  database_.Run("select setval('twi_data.outbox_until', 0)");
  reader->recorder.Until([&] { return reader->recorder.opened == 3; });
  reader->Told();
  database_.Run("update item set body = 'z'");
  EXPECT_THAT(Of("item", reader->Told()).keys, ElementsAre(Item("1")));
}

TEST_F(OutboxTest, ATableInUseIsLeftAsItIs) {
  database_.Run("create table busy (id bigint primary key); create table idle (id bigint)");
  const testing::Transaction user(database_, "insert into busy values (1)");
  const auto left = PrepareOutbox(database_.dsn());
  ASSERT_TRUE(left.ok()) << left.status();
  EXPECT_THAT(*left, ElementsAre("busy"));
  EXPECT_EQ(Refusal("select id from idle"), "");
  EXPECT_EQ(Refusal("select id from busy"), absl::StrCat("busy", kLacks));
}

TEST_F(OutboxTest, PreparedAgainItChangesNothing) {
  auto reader = Read();
  const auto left = PrepareOutbox(database_.dsn());
  EXPECT_TRUE(left.ok());
  EXPECT_THAT(reader->Told(), IsEmpty());
}

TEST_F(OutboxTest, ItIsTakenAwayWithItsSchema) {
  database_.Run("drop schema twi_data cascade; update item set body = 'z'; delete from item");
  EXPECT_EQ(database_.Value("select count(*) from pg_trigger where not tgisinternal"), "0");
}

}  // namespace
}  // namespace twi::sql

#include "sql/upkeep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/upkeep_fixture.h"

namespace twi::sql {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(UpkeepTest, EachStepIsDoneOnce) {
  Migrate();
  const Upkeep upkeep = Load();
  ASSERT_TRUE(upkeep.Optimize("some").ok());
  EXPECT_EQ(steps_[1].detail, "people_town");
  for (const UpkeepStep& step : steps_) EXPECT_GT(step.duration, absl::ZeroDuration());
  EXPECT_THAT(Steps(), ElementsAre("by_name: made", "by_town: served", "lately: made",
                                   "vacuum: made", "towns: made", "everybody: made"));
  EXPECT_EQ(Definition("by_town"), "");
  EXPECT_EQ(database_.Value("select reloptions[1] from pg_class where relname = 'people'"),
            "autovacuum_vacuum_scale_factor=0.05");
  EXPECT_EQ(database_.Value("select count(*) from towns"), "0");
  EXPECT_EQ(database_.Value("select everybody()"), "0");
  EXPECT_EQ(database_.Value("select to_regnamespace('twi_data_optimize') is null"), "t");

  ASSERT_TRUE(upkeep.Optimize("some").ok());
  EXPECT_THAT(Steps(), ElementsAre("by_name: there", "by_town: served", "lately: there",
                                   "vacuum: there", "towns: there", "everybody: there"));
}

TEST_F(UpkeepTest, WhatIsAnotherIsReplaced) {
  Migrate();
  database_.Run(R"(
      create index by_name on people (name, id) where gone;
      create index lately on people (id);
      create materialized view towns as select town from people;
      create function everybody() returns text language sql as $$ select 'all' $$;
      alter table people set (autovacuum_vacuum_scale_factor = 0.5, fillfactor = 50))");
  EXPECT_THAT(Optimize(), ElementsAre("by_name: replaced", "lately: replaced", "vacuum: made",
                                      "towns: replaced", "everybody: replaced"));
  EXPECT_THAT(Definition("by_name"), HasSubstr("(name)"));
  EXPECT_EQ(database_.Value("select count(people) from towns"), "0");
  EXPECT_EQ(database_.Value("select everybody()"), "0");
  EXPECT_EQ(database_.Value("select array_to_string(reloptions, ' ') from pg_class"
                            " where relname = 'people'"),
            "fillfactor=50 autovacuum_vacuum_scale_factor=0.05");
  EXPECT_EQ(Leftovers(), "0");
  EXPECT_THAT(Optimize(), IsEmpty());
}

TEST_F(UpkeepTest, WhoMayReadAViewMayReadWhatReplacesIt) {
  Migrate();
  const std::string role = database_.Value("select 'reader_of_' || current_database()");
  database_.Run("create materialized view towns as select town from people; create role " + role +
                "; grant select on towns to " + role);
  EXPECT_THAT(Optimize(), Contains("towns: replaced"));
  EXPECT_EQ(database_.Value("select has_table_privilege('" + role + "', 'towns', 'select')"), "t");
  database_.Run("drop owned by " + role + "; drop role " + role);
}

TEST_F(UpkeepTest, AStepThatFailsLeavesTheOthers) {
  Migrate();
  // What somebody made of a view is not ours to drop.
  database_.Run(R"(
      create materialized view towns as select town from people;
      create view big_towns as select town from towns;
      create table by_name (id bigint))");
  const absl::Status status = Load().Optimize("some");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "2 steps failed");
  EXPECT_THAT(steps_[0].detail, HasSubstr("\"by_name\" is not an index"));
  EXPECT_THAT(steps_[4].detail, HasSubstr("other objects depend on it"));
  EXPECT_THAT(Steps(), ElementsAre("by_name: failed", "by_town: served", "lately: made",
                                   "vacuum: made", "towns: failed", "everybody: made"));
  database_.Run("drop view big_towns; drop table by_name");
  EXPECT_THAT(Optimize(), ElementsAre("by_name: made", "towns: replaced"));
}

TEST_F(UpkeepTest, OnlyWhatDoesTheSameServes) {
  Migrate();
  database_.Run(R"(
      create index whole on people (born);
      create index those_gone on people (id) where gone;
      create index other_class on people (town text_pattern_ops);
      create index hashed on people using hash (name);
      create index name_pattern on people (name text_pattern_ops);
      create index name_c on people (name collate "C");
      create index late_column on people (gone, name);
      create unique index one_name on people (id, gone);
      create index broken on people (name, gone);
      update pg_index set indisvalid = false where indexrelid = 'broken'::regclass)");
  const EmbeddedText set = {"some.sql", R"(
-- step: part
create index part on people (born) where gone;
-- step: all_of_it
create index all_of_it on people (id, name);
-- step: same_part
create index same_part on people (id) where gone;
-- step: pattern
create index pattern on people (town text_pattern_ops);
-- step: second_column
create index second_column on people (name);
-- step: like_broken
create index like_broken on people (name, gone);
-- step: prefix
create index prefix on people (gone desc);
-- step: with_more
create index with_more on people (born) include (gone);
-- step: within_key
create index within_key on people (gone) include (name);
-- step: unique_prefix
create unique index unique_prefix on people (gone, id);
-- step: unique_born
create unique index unique_born on people (born);
-- step: unique_same
create unique index unique_same on people (id, gone);
)"};
  ASSERT_TRUE(Load({set}).Optimize("some").ok());
  EXPECT_EQ(steps_[2].detail, "those_gone");
  EXPECT_EQ(steps_[3].detail, "other_class");
  EXPECT_THAT(Steps(),
              ElementsAre("part: made", "all_of_it: made", "same_part: served", "pattern: served",
                          "second_column: made", "like_broken: made", "prefix: served",
                          "with_more: made", "within_key: served", "unique_prefix: made",
                          "unique_born: made", "unique_same: served"));
}

TEST_F(UpkeepTest, AViewThatIsMissingIsNamed) {
  Migrate();
  const absl::Status status = Load().RefreshViews();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(steps_[0].detail, HasSubstr("`twi-data optimize` makes it"));
  EXPECT_THAT(Steps(), ElementsAre("towns: failed"));

  database_.Run("create materialized view towns as select town from people with no data");
  ASSERT_TRUE(Load().RefreshViews().ok());
  EXPECT_THAT(Steps(), ElementsAre("towns: refreshed"));
  EXPECT_EQ(database_.Value("select count(*) from towns"), "0");
}

TEST_F(UpkeepTest, RecentRowsRollForward) {
  Migrate();
  Optimize();
  EXPECT_THAT(Maintain(), IsEmpty());
  const std::string fresh = Definition("lately");
  EXPECT_THAT(fresh,
              HasSubstr(database_.Value(
                  "select date_trunc('day', now() at time zone 'UTC') - interval '30 days'")));
  const auto make = [&](const std::string& days) {
    const std::string day = database_.Value("select (now() at time zone 'UTC')::date - " + days);
    database_.Run(
        "drop index lately; create index lately on people (born) where born >= timestamp '" + day +
        "'");
  };
  make("37");
  EXPECT_THAT(Maintain(), IsEmpty());
  EXPECT_THAT(Optimize(), IsEmpty());
  make("38");
  EXPECT_THAT(Optimize(), IsEmpty());
  EXPECT_THAT(Maintain(), ElementsAre("lately: rolled"));
  EXPECT_EQ(Definition("lately"), fresh);
  EXPECT_EQ(Leftovers(), "0");
}

TEST_F(UpkeepTest, DateStylesDoNotMatter) {
  Migrate();
  database_.Run(
      "do $$ begin execute 'alter database ' || current_database() || ' set datestyle = german';"
      " end $$");
  EXPECT_THAT(Optimize(), Contains("lately: made"));
  EXPECT_THAT(Optimize(), IsEmpty());
  database_.Run(
      "drop index lately; create index lately on people (born) where born >= timestamp "
      "'2001-01-01'");
  EXPECT_THAT(Maintain(), ElementsAre("lately: rolled"));
}

TEST_F(UpkeepTest, ARollThatWasInterruptedGoesOn) {
  Migrate();
  Optimize();
  database_.Run("alter index lately rename to lately_next");
  EXPECT_THAT(Maintain(), ElementsAre("lately: rolled"));
  EXPECT_NE(Definition("lately"), "");

  database_.Run("create index lately_next on people (born) where born >= timestamp '2026-01-01'");
  EXPECT_THAT(Maintain(), IsEmpty());
  EXPECT_EQ(Leftovers(), "0");
}

TEST_F(UpkeepTest, WhatReindexLeftIsDropped) {
  Migrate();
  Optimize();
  database_.Run(R"(
      create index by_name_ccnew on people (name);
      create index by_name_ccold1 on people (name);
      update pg_index set indisvalid = false
      where indexrelid in ('by_name_ccnew'::regclass, 'by_name_ccold1'::regclass,
                           'people_town'::regclass))");
  EXPECT_THAT(Maintain(), ElementsAre("by_name_ccnew: dropped", "by_name_ccold1: dropped",
                                      "people_town: rebuilt"));
  EXPECT_EQ(Leftovers(), "0");
  EXPECT_NE(Definition("people_town"), "");
}

TEST_F(UpkeepTest, StaleTablesAreAnalyzed) {
  Migrate();
  const auto changed_since = [this](int rows) {
    Until(absl::StrCat("select n_mod_since_analyze = ", rows,
                       " from pg_stat_user_tables where relname = 'people'"));
  };
  // Never before, and again when much has changed, but not for a little.
  for (const char* range : {"1, 1000", "1001, 2000"}) {
    database_.Run(absl::StrCat("insert into people (id) select generate_series(", range, ")"));
    changed_since(1000);
    ASSERT_TRUE(Load().Maintain().ok());
    EXPECT_THAT(Steps(), Contains("people: analyzed"));
    changed_since(0);
  }
  EXPECT_EQ(database_.Value("select n_distinct from pg_stats"
                            " where tablename = 'people' and attname = 'id'"),
            "-1");
  database_.Run("insert into people (id) select generate_series(2001, 2010)");
  changed_since(10);
  ASSERT_TRUE(Load().Maintain().ok());
  EXPECT_THAT(Steps(), IsEmpty());
}

TEST_F(UpkeepTest, MissingMigrationsAreTold) {
  const Upkeep upkeep = Load();
  for (const absl::Status& status :
       {upkeep.Optimize("some"), upkeep.RefreshViews(), upkeep.Maintain()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(status.message(), "the schema lacks 1 migration: run `twi-data migrate up`");
  }
  EXPECT_THAT(Steps(), IsEmpty());
}

TEST_F(UpkeepTest, AnUnknownSetIsRefused) {
  EXPECT_EQ(Load().Optimize("none").code(), absl::StatusCode::kInvalidArgument);
}

TEST(UpkeepWithoutDatabaseTest, IsUnavailable) {
  const auto upkeep = Upkeep::Load("host=/nonexistent dbname=x", {});
  ASSERT_TRUE(upkeep.ok()) << upkeep.status();
  for (const absl::Status& status :
       {upkeep->Optimize("base"), upkeep->RefreshViews(), upkeep->Maintain()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  }
}

}  // namespace
}  // namespace twi::sql

// What a statement's answers depend on: whole tables, or the rows that placeholders choose.

#include "sql/dependencies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "sql/publication.h"
#include "tests/support/database.h"

namespace twi::sql {
namespace {

constexpr char kTables[] = R"sql(
create table guild (id bigint primary key, name text);
create table post (guild_id bigint, id integer, body text, primary key (guild_id, id));
create table word (word text primary key, "From" text);
create table "Guild" (id bigint primary key, name text);
create view posts as select guild_id, id, body from post;
create function of_guild(wanted bigint) returns bigint stable language sql as
  $$ select count(*) from guild where id = wanted $$;
create function endless(n bigint) returns bigint stable language sql as
  $$ select case when n = 0 then 0 else endless(n - 1) end $$;
)sql";

constexpr char kRows[] = R"sql(
truncate guild, post, word, "Guild";
insert into guild select n, n % 3 from generate_series(1, 5) n;
insert into "Guild" select n, n from generate_series(1, 5) n;
insert into post select g, n, g * 10 + n from generate_series(1, 4) g, generate_series(1, 4) n;
insert into word select n, n % 2 from generate_series(0, 5) n;
)sql";

// Rows with other keys than 1 and 2, which look like those that there are.
const std::map<std::string, std::string> kMore = {
    {"guild", "insert into guild select n, n % 3 from generate_series(10, 20) n"},
    {"\"Guild\"", "insert into \"Guild\" select n, n % 3 from generate_series(10, 20) n"},
    {"post",
     "insert into post select g, n, 10 from generate_series(10, 15) g, generate_series(10, 15) n"},
    {"word", "insert into word select n, n % 2 from generate_series(10, 20) n"}};

/// What there is of each table, `*` for all of it: `guild id=$1, post *`.
std::string Spelled(const Dependencies& dependencies) {
  if (!dependencies.refusal.empty()) return dependencies.refusal;
  std::map<std::string, std::vector<std::string>> tables;
  for (const TableDependency& table : dependencies.tables) {
    for (const TableDependency::Key& key : table.keys) {
      tables[table.name].push_back(absl::StrCat(key.column, "=$", key.parameter));
    }
    if (table.keys.empty()) tables[table.name].emplace_back("*");
  }
  std::string all;
  for (const auto& [table, keys] : tables) {
    absl::StrAppend(&all, all.empty() ? "" : ", ", table);
    for (const std::string& key : keys) absl::StrAppend(&all, " ", key);
  }
  return all;
}

class DependenciesTest : public ::testing::Test {
 protected:
  DependenciesTest() {
    database_.Run(kTables);
    Publish();
  }

  void Publish() { EXPECT_TRUE(PreparePublication(database_.dsn()).ok()); }

  std::string Of(const std::string& text) {
    const auto all = FindDependencies(database_.dsn(), {Statement{"", text}}, ChangesFrom::kStream);
    EXPECT_TRUE(all.ok()) << all.status();
    return all.ok() ? Spelled(all->each.at(0)) : "";
  }

  /// Of each statement what it says, and that no other rows have part in its result.
  void Expect(const std::vector<std::pair<std::string, std::string>>& cases) {
    for (const auto& [text, depends] : cases) {
      EXPECT_EQ(Of(text), depends) << text;
      ExpectOthersDoNotCount(text);
    }
  }

  /// Takes all rows away that have none of the keys' values, and adds others of their like.
  void ExpectOthersDoNotCount(const std::string& text) {
    const auto all = FindDependencies(database_.dsn(), {Statement{"", text}}, ChangesFrom::kStream);
    ASSERT_TRUE(all.ok());
    std::string without;
    std::string with;
    for (const TableDependency& table : all->each.at(0).tables) {
      if (table.keys.empty()) continue;
      absl::StrAppend(&without, "delete from ", table.name, " where true");
      for (const TableDependency::Key& key : table.keys) {
        absl::StrAppend(&without, " and ", key.column, " <> '", key.parameter, "'");
      }
      absl::StrAppend(&without, ";");
      absl::StrAppend(&with, kMore.at(table.name), ";");
    }
    if (without.empty()) return;
    // A placeholder's value is its number.
    const std::string result =
        absl::StrCat("select string_agg(x::text, ' ' order by x::text) from (",
                     absl::StrReplaceAll(text, {{"$1", "'1'"}, {"$2", "'2'"}}), ") x");
    database_.Run(kRows);
    const std::string before = database_.Value(result);
    for (const std::string& change : {without, with}) {
      database_.Run(change);
      EXPECT_EQ(database_.Value(result), before) << text << "\n" << change;
    }
  }

  testing::Database database_;
};

TEST_F(DependenciesTest, AColumnOfTheIdentityThatEqualsAPlaceholderIsAKey) {
  Expect({
      {"select name from guild where id = $1", "guild id=$1"},
      {"select g.name from public.guild g where $2 = g.id and name <> $1", "guild id=$2"},
      {"select body from post where guild_id = $1", "post guild_id=$1"},
      {"select body from post where id = $1 and guild_id = $2", "post id=$1"},
      {"select body from post where (guild_id, id) = ($1, $2)", "post guild_id=$1"},
      {"select \"From\" from word where word = $1", "word word=$1"},
      {"select name from guild where id = $1::bigint", "guild id=$1"},
      {"select name from guild where id = $1::integer", "guild id=$1"},
      {"select \"From\" from word where word = $1::varchar", "word word=$1"},
  });
}

TEST_F(DependenciesTest, WhatIsNotThatIsAllRows) {
  Expect({
      {"select name from guild", "guild *"},
      {"select id from guild where name = $1", "guild *"},
      {"select name from guild where id >= $1", "guild *"},
      {"select name from guild where id = 7", "guild *"},
      {"select name from guild where id = $1 + 1", "guild *"},
      {"select name from guild where id = any ($1)", "guild *"},
      {"select name from guild where id is not distinct from $1", "guild *"},
      {"select name from guild where id = $1 or name = $2", "guild *"},
      {"select name from guild where not (id = $1)", "guild *"},
      {"select name from guild where id = $1::numeric", "guild *"},
      {"select name from guild where id + 0 = $1", "guild *"},
      {"select \"From\" from word where lower(word) = $1", "word *"},
      {"select \"From\" from word where word = $1::char(3)", "word *"},
      {"select \"From\" from word where word = $1::varchar(3)", "word *"},
      {"select \"From\" from word where word = $1 collate \"C\"", "word *"},
      {"select count(*) filter (where id = $1) from guild", "guild *"},
      {"select id = $1 from guild", "guild *"},
      {"select count(*) from guild group by id having id = $1", "guild *"},
      {"select g.name from guild g (name, id) where g.id = $1::text", "guild *"},
  });
}

TEST_F(DependenciesTest, EveryPlaceThatReadsATableCounts) {
  Expect({
      {"select a.name from guild a join guild b on b.id = $2 where a.id = $1", "guild id=$1 id=$2"},
      {"select a.name from guild a, guild b where a.id = $1", "guild *"},
      {"select name, (select count(*) from guild) from guild where id = $1", "guild *"},
      {"select name from guild where id = $1 and exists (select from guild g where g.id = $2)",
       "guild id=$1 id=$2"},
      {"select name from guild where id = $1 union select name from public.guild where id = $2",
       "guild id=$1 id=$2"},
      {"select name from guild where id = $1 union all select name from guild", "guild *"},
      {"with g as (select name from guild where id = $1) select name from g", "guild id=$1"},
      {"with guild as (select name from guild where id = $1) select name from guild",
       "guild id=$1"},
      {"with guild as (select name, id from guild) select name from guild where id = $1",
       "guild *"},
      {"with recursive r as (select id from guild where id = $1 union select g.id from guild g"
       "  join r on g.id = r.id + 1) select id from r",
       "guild *"},
      {"select x.name from (select name from guild where id = $1) x", "guild id=$1"},
      {"select x.name from (select id, name from guild) x where x.id = $1", "guild *"},
      {"select x.body from guild g cross join lateral (select body from post p"
       "  where p.guild_id = $1 and p.id = g.id) x where g.id = $1",
       "guild id=$1, post guild_id=$1"},
      // The inner name hides the outer one.
      {"select name from guild g where (select count(*) from post g where g.guild_id = $1) > 0",
       "guild *, post guild_id=$1"},
      {"select name from guild g where (select count(*) from post p where g.id = $1) > 0",
       "guild *, post *"},
  });
}

TEST_F(DependenciesTest, OfAnOuterJoinOnlyTheSideThatItMayDropHasAKey) {
  Expect({
      {"select name from guild g left join post p on p.guild_id = $1 and g.id = $2",
       "guild *, post guild_id=$1"},
      {"select name from post p right join guild g on p.guild_id = $1 and g.id = $2",
       "guild *, post guild_id=$1"},
      {"select name from guild g full join post p on p.guild_id = $1 and g.id = $2",
       "guild *, post *"},
      {"select name from guild g join post p on p.guild_id = $1 and g.id = $2",
       "guild id=$2, post guild_id=$1"},
      {"select name from guild g left join post p on p.id = g.id where p.guild_id = $1",
       "guild *, post guild_id=$1"},
      {"select g.name from guild g full join word w on w.word = g.name where g.id = $1",
       "guild id=$1, word *"},
      {"select body from guild full join post using (id) where id = $1", "guild *, post *"},
      {"select name from word w left join (guild g join post p on g.id = $1) on p.guild_id = $2",
       "guild id=$1, post guild_id=$2, word *"},
  });
}

TEST_F(DependenciesTest, ViewsAndFunctionsReadWholeTables) {
  Expect({
      {"select body from posts where guild_id = $1", "post *"},
      {"select of_guild($1)", "guild *"},
      {"select name, of_guild($1) from guild where id = $1", "guild *"},
      {"select endless($1)", ""},
  });
}

TEST_F(DependenciesTest, NamesAreWhatTheyAreWrittenAs) {
  Expect({{"select name from \"Guild\" where id = $1", "\"Guild\" id=$1"},
          {"select word from word where \"From\" = $1", "word *"}});
}

TEST_F(DependenciesTest, OnlyTypesWhoseEqualValuesAreTheSameTextHaveKeys) {
  database_.Run(
      "create collation blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
  for (const char* type : {"smallint", "integer", "bigint", "text", "varchar", "varchar(9)"}) {
    database_.Run(absl::StrCat("drop table if exists typed; create table typed (id ", type,
                               " primary key, at date)"));
    Publish();
    EXPECT_EQ(Of("select at from typed where id = $1"), "typed id=$1") << type;
  }
  for (const char* type :
       {"numeric", "real", "char(3)", "name", "timestamptz", "boolean", "text collate blind"}) {
    database_.Run(absl::StrCat("drop table if exists typed; create table typed (id ", type,
                               " primary key, at date)"));
    Publish();
    EXPECT_EQ(Of("select at from typed where id = $1"), "typed *") << type;
  }
}

TEST_F(DependenciesTest, OnlyWhatIsToldOfOldRowsIsAKey) {
  const std::string by_other = "select id from kept where other = $1";
  const std::string by_more = "select id from kept where more = $1";
  database_.Run(
      "create table kept (id bigint, other bigint not null, more bigint not null,"
      "  twice bigint generated always as (id * 2) stored, primary key (id) include (more))");
  Publish();
  EXPECT_EQ(Of("select other from kept where id = $1"), "kept id=$1");
  EXPECT_EQ(Of(by_more), "kept *") << "only carried by the index";
  EXPECT_EQ(Of(by_other), "kept *");
  database_.Run(
      "create unique index kept_other on kept (other);"
      "alter table kept replica identity using index kept_other");
  EXPECT_EQ(Of(by_other), "kept other=$1");
  EXPECT_EQ(Of("select other from kept where id = $1"), "kept *");
  database_.Run("alter table kept replica identity full");
  EXPECT_EQ(Of(by_more), "kept more=$1");
  EXPECT_EQ(Of("select id from kept where twice = $1"), "kept *") << "not told";
  database_.Run(
      "create table day (id bigint, at date, primary key (id, at)) partition by range (at);"
      "create table day_1 partition of day for values from ('2020-01-01') to ('2021-01-01')");
  Publish();
  EXPECT_EQ(Of("select at from day where id = $1"), "day *");
  EXPECT_EQ(Of("select at from day_1 where id = $1"), "day *");
}

TEST_F(DependenciesTest, WhatIsNotToldOfIsRefused) {
  const std::string read = "select name from guild where id = $1";
  database_.Run("alter publication twi_data set (publish = 'insert, update, delete')");
  EXPECT_EQ(Of(read), "guild is not published");
  database_.Run(
      "alter publication twi_data set (publish = 'insert, update, delete, truncate');"
      "alter publication twi_data set table guild where (id > 5)");
  EXPECT_EQ(Of(read), "guild is not published");
  database_.Run("alter publication twi_data set table guild");
  EXPECT_EQ(Of(read), "guild id=$1");
  database_.Run("alter table guild enable row level security");
  EXPECT_EQ(Of(read), "guild has row security");
}

TEST_F(DependenciesTest, SaysAsOfWhichSnapshot) {
  const testing::Transaction running(database_, "insert into guild values (1)");
  const auto xid = std::stoull(
      database_.Value("select backend_xid from pg_stat_activity"
                      " where datname = current_database() and backend_xid is not null"));
  const auto all = FindDependencies(database_.dsn(), {}, ChangesFrom::kStream);
  ASSERT_TRUE(all.ok());
  EXPECT_LE(all->snapshot.oldest(), xid);
  EXPECT_FALSE(all->snapshot.Sees(xid));
  EXPECT_TRUE(all->snapshot.Sees(all->snapshot.oldest() - 1));
}

TEST_F(DependenciesTest, MoreThanEightTablesAreTooMany) {
  std::string text = "select 1 from t0";
  for (int i = 0; i < 9; ++i) {
    database_.Run(absl::StrCat("create table t", i, " (id bigint primary key)"));
    if (i > 0) absl::StrAppend(&text, ", t", i);
  }
  Publish();
  EXPECT_EQ(Of(text), "it reads more than 8 tables");
  EXPECT_EQ(Of("select 1 from t0, t1, t2, t3, t4, t5, t6, t7"),
            "t0 *, t1 *, t2 *, t3 *, t4 *, t5 *, t6 *, t7 *");
}

}  // namespace
}  // namespace twi::sql

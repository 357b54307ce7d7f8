// What the catalog refuses to have kept: answers that depend on more than what the tables hold.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "repositories/catalog.h"
#include "tests/support/database.h"
#include "twi/test/v1/caching_mistakes.pb.h"

namespace twi::repositories {
namespace {

constexpr char kTables[] = R"(
create table t (id bigint primary key, value bigint not null, at timestamptz not null);
create unlogged table untold (id bigint primary key, value bigint not null);
create view v as select id, value + random()::bigint as value from t;
create view w as select id, value from v;
create function later() returns bigint stable language sql as
  $$ select count(*) from t where at > current_timestamp $$;
create function opaque() returns bigint stable language plpgsql as $$ begin return 1; end $$;
create function locked() returns bigint stable language sql as
  $$ select value from t where id = 1 for share $$;
)";

constexpr char kStanzas[] = R"(
-- name: Fine
select coalesce(sum(t.value), 0)::bigint as value from t where t.id < :id;

-- name: FineUntold
select u.value from untold u where u.id = :id;

-- name: FineTimes
select t.value from t where t.id = :id and t.at > '2020-02-02'::timestamptz;

-- name: Random
select t.value from t where t.id > :id order by random() limit 1;

-- name: Clock
select t.value from t where t.id = :id and t.at < now();

-- name: Today
select t.value from t where t.id = :id and t.at < current_date;

-- name: Moment
select t.value from t where t.id = :id and t.at < timestamptz 'yesterday';

-- name: Who
select t.value from t where t.id = :id and current_user <> '';

-- name: ByView
select w.value from w where w.id = :id limit 1;

-- name: ByFunction
select later() as value where :id::bigint > 0;

-- name: Opaque
select t.value from t where t.id = :id and t.value > opaque();

-- name: LocksBelow
select locked() as value where :id::bigint > 0;

-- name: OfTheSystem
select count(*) as value from pg_class c where c.oid = :id::bigint;

-- name: Locks
select t.value from t where t.id = :id for share;

-- name: Streams
-- page: t.id
select t.value, t.id from t where t.id > :id and :page.after order by t.id limit :page.size;
)";

constexpr char kProblems[] = R"(
11: Random: has a cache policy, but random() is volatile: take the policy from the rpc, or this from the SQL
14: Clock: has a cache policy, but now() depends on more than the tables: take the policy from the rpc, or this from the SQL
17: Today: has a cache policy, but current_date depends on more than the tables: take the policy from the rpc, or this from the SQL
20: Moment: has a cache policy, but now() depends on more than the tables: take the policy from the rpc, or this from the SQL
23: Who: has a cache policy, but current_user() depends on more than the tables: take the policy from the rpc, or this from the SQL
26: ByView: has a cache policy, but random() is volatile: take the policy from the rpc, or this from the SQL
29: ByFunction: has a cache policy, but current_timestamp depends on more than the tables: take the policy from the rpc, or this from the SQL
32: Opaque: has a cache policy, but opaque() cannot be looked into: take the policy from the rpc, or this from the SQL
35: LocksBelow: has a cache policy, but locked() cannot be looked into: take the policy from the rpc, or this from the SQL
38: OfTheSystem: has a cache policy, but pg_class is of the system catalog: take the policy from the rpc, or this from the SQL
41: Locks: is declared NO_SIDE_EFFECTS and locks rows: take the option from the rpc, or the effect from the SQL
44: Streams: has a cache policy and streams: only one answer is kept
)";

TEST(CatalogCachingTest, EveryMistakeIsToldAtOnceWithItsPlace) {
  const testing::Database database;
  database.Run(kTables);
  const auto loaded = Catalog::Load(
      database.dsn(), {{"caching_mistakes.sql", kStanzas}},
      {test::v1::WhatIsKept::descriptor()->file()->FindServiceByName("CachingMistakesService")});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->catalog, nullptr);
  std::vector<Problem> problems = loaded->problems;
  std::ranges::stable_sort(problems, {}, &Problem::line);
  std::string told = "\n";
  for (const Problem& problem : problems) {
    EXPECT_EQ(problem.file, "caching_mistakes.sql");
    absl::StrAppend(&told, problem.line, ": ", problem.message, "\n");
  }
  EXPECT_EQ(told, kProblems);
}

}  // namespace
}  // namespace twi::repositories

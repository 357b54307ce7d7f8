#include "sql/proof.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/database.h"

namespace twi::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Texts = std::vector<std::string>;

constexpr char kTables[] = R"(
create table users (
  id bigint primary key, name text not null, nick text, short varchar(9) not null, code text unique
);
create unique index on users (lower(short));
create table links (id bigserial primary key, title text not null, owner bigint references users,
                    embed boolean not null default false);
create unique index on links (lower(title));
create unique index on links (owner, coalesce(id % 7, 0)) where embed;
create table tags (link bigint not null, tag text not null, at timestamptz not null default now(),
                   primary key (link, tag));
create table late (id bigint unique deferrable);
create table parent (id bigint primary key);
create table child () inherits (parent);
create view shown as select id, title from links;
create materialized view kept as select id, title from links;
create unique index on kept (id);
create schema other;
create table other.users (id bigint, key bigint primary key);
create table other.apart (id bigint primary key);
create function twice() returns setof bigint language sql as 'values (1::bigint), (2)';
create function avg(what text) returns bigint language sql immutable as 'select 1::bigint';
)";

class ProofTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const testing::Database database;
    database.Run(kTables);
    auto read = ReadDictionary(database.dsn());
    ASSERT_TRUE(read.ok()) << read.status();
    dictionary = *std::move(read);
  }

  static Proof Of(const std::string& text) {
    auto proof = Proof::Make(text, &dictionary);
    EXPECT_TRUE(proof.ok()) << text << ": " << proof.status();
    return *std::move(proof);
  }

  static void ExpectOne(const Texts& texts, const std::set<int>& fixed = {}) {
    for (const std::string& text : texts) EXPECT_EQ(Of(text).Several(fixed), "") << text;
  }

  static void ExpectSeveral(const Texts& texts, const std::set<int>& fixed = {}) {
    for (const std::string& text : texts) EXPECT_NE(Of(text).Several(fixed), "") << text;
  }

  inline static Dictionary dictionary;
};

TEST_F(ProofTest, KnowsTheDatabase) {
  const Dictionary::Relation& users = dictionary.relations.at("users");
  EXPECT_THAT(users.columns, ElementsAre("id", "name", "nick", "short", "code"));
  EXPECT_THAT(users.not_null, ElementsAre("id", "name", "short"));
  EXPECT_THAT(users.keys, ElementsAre(ElementsAre("id"), ElementsAre("code"),
                                      ElementsAre("lower(short::text)")));
  EXPECT_THAT(dictionary.relations.at("tags").keys, ElementsAre(ElementsAre("link", "tag")));
  EXPECT_THAT(dictionary.relations.at("links").keys,
              ElementsAre(ElementsAre("id"), ElementsAre("lower(title)")));
  for (const char* unkept : {"late", "parent", "shown"}) {
    EXPECT_THAT(dictionary.relations.at(unkept).keys, IsEmpty()) << unkept;
  }
  EXPECT_THAT(dictionary.relations.at("other.users").keys, ElementsAre(ElementsAre("key")));
  EXPECT_FALSE(dictionary.relations.contains("apart"));
  EXPECT_TRUE(dictionary.functions.at("max").aggregate);
  EXPECT_FALSE(dictionary.functions.at("avg").aggregate);
  EXPECT_TRUE(dictionary.functions.at("twice").set_returning);
  EXPECT_TRUE(dictionary.functions.at("random").changes);
  EXPECT_TRUE(dictionary.functions.at("jsonb_array_elements").one_column);
  EXPECT_FALSE(dictionary.functions.at("jsonb_each").one_column);
  EXPECT_EQ(ReadDictionary("host=/nonexistent").status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ProofTest, LimitsAndAggregatesAreOneRow) {
  ExpectOne({"select id from users limit 1", "select id from users fetch first row only",
             "select id from users order by id offset 3 fetch next 1 rows only",
             "values (1), (2) limit 1", "select 1 union select 2 limit 1",
             "with q as (select id from users) select id from q limit 1",
             "select max(id) from users", "select coalesce(sum(id), 0)::bigint as n from users",
             "select jsonb_agg(id order by id) filter (where id > 3) from users",
             "select 1 from users having true", "select $1::bigint", "values ($1, 2)",
             "select exists (select from users) as taken", "select (select max(id) from users)",
             "select sum(max(id)) over () from users"});
  ExpectSeveral({"select id from users", "select id from users limit 2",
                 "select id from users limit $1", "select id from users limit all",
                 "select id from users order by id fetch first row with ties",
                 "select id from (select id from users limit 1) q, links", "values (1), (2)",
                 "select max(id) over () from users", "select avg(name) from users",
                 "select max(id) from users group by name",
                 "select (select max(id) from links) from users",
                 "select unnest(array_agg(id)) from users", "select twice()",
                 "select max(id) from users where id = 1 group by rollup (id)",
                 "select 1 union all select 2", "select 1 union select 2",
                 "insert into users (id) select id from links limit 2 returning id"});
}

TEST_F(ProofTest, TextsTellTheBranchesOfAUnionApart) {
  const auto several = [](const std::string& statement) { return Of(statement).Several({0, 1}); };
  for (const char* united :
       {"select 'u', id from users union all select 'l', id from links",
        "select 'u', id from users union select 'l', id from links union all select 'x', $1",
        "(select 'u', id from users order by name limit 5) union all (select 'l', id from links)",
        "select q.place, q.id from (select 'u' as place, id from users union all select 'l', id "
        "from links) q where q.id > 5"}) {
    EXPECT_EQ(several(united), "") << united;
  }
  for (const char* united :
       {"select 'u', id from users union all select 'u', id from links",
        "select 'u', id from users union all select 'l', id from links union all select 'u', $1",
        "select name, id from users union all select 'l', id from links",
        "select 'u', id from users union all select null, id from links",
        // Either may be the other, in the type that the union gives them.
        "select 'u', id from users union all select 'U'::citext, id from links",
        "select 'u', name from users union all select 'l', title from links"}) {
    EXPECT_EQ(several(united), "a union") << united;
  }
}

TEST_F(ProofTest, KeysPinRows) {
  ExpectOne(
      {"select name from users where id = $1", "select name from users u where $1 = u.id",
       "select name from users where nick = 'x' and (id = 5 and true)",
       "select name from other.apart a where a.id = $1",
       "select key from other.users where key = $1", "select id from users where code = $1",
       "select id from kept where id = $1", "select tag from tags where link = $1 and tag = $2",
       "select tag from tags where (link, tag) = ($1, lower($2))",
       "select id from links where lower(title) = lower($1)",
       "select id from links l where lower(l.title) = $1::text",
       "select id from users where lower(short) = $1",
       "select id from users where id = (select max(id) from users)",
       "select id from users where id = (select max(l.owner) from links l where l.title = $1)",
       "select id from users where id = $1::bigint + 1 and name <> 'x'",
       "select id from users tablesample system (5) where id = $1"});
  ExpectSeveral({"select id from users where name = $1",
                 "select id from users where id > $1",
                 "select id from users where id = any($1)",
                 "select id from users where id in (1, 2)",
                 "select id from users where id = $1 or name = $2",
                 "select id from users where not (id = $1)",
                 "select id from users where id = id",
                 "select id from users where id = $1::float8",
                 "select id from users where id + 1 = 2",
                 "select id from users where id = (random() * 100)::bigint",
                 "select id from users where id::text = $1",
                 "select id from users where id = (select max(users.id))",
                 "select id from users where id = (select owner from links where title = nick)",
                 "select u.id from users u where id = (select max(l.owner) from links l "
                 "where l.title = u.nick)",
                 "select id from users where id is not distinct from $1",
                 "select id from other.users where id = $1",
                 "select tag from tags where link = $1",
                 "select id from late where id = $1",
                 "select id from parent where id = $1",
                 "select id from shown where id = $1",
                 "select id from links where owner = $1",

                 "select id from links where upper(title) = $1",
                 "select id from users u (name, id) where id = $1",
                 "select id from nowhere where id = $1"});
  EXPECT_EQ(Of("select 1 from users a, links b where a.id = $1").Several(), "b");
  EXPECT_EQ(Of("select 1 from generate_series(1, 2)").Several(), "a function");
}

TEST_F(ProofTest, JoinsAreOneRowWhenAllSidesAre) {
  ExpectOne(
      {"select 1 from links l join users u on u.id = l.owner where l.id = $1",
       "select 1 from links l, users u where u.id = l.owner and lower(l.title) = $1",
       "select 1 from links l left join users u on u.id = l.owner where l.id = $1",
       "select 1 from users u right join links l on u.id = l.owner where l.id = $1",
       "select 1 from links l left join users u on u.id = l.owner left join tags t "
       "on t.link = l.id and t.tag = u.nick where l.id = $1",
       "select 1 from links l left join (users u join tags t on t.tag = u.nick) "
       "on u.id = l.owner and t.link = l.id where l.id = $1",
       "select 1 from kept k join links l using (id) where k.id = $1",
       "select 1 from kept k left join links l using (id) where id = $1",
       "select 1 from links l cross join (select sum(id) from users) c where l.id = $1",
       "select 1 from links l left join lateral (select t.tag from tags t where t.link = l.id "
       "order by t.at limit 1) t on true where l.id = $1",
       "select 1 from jsonb_to_record($1) r (id bigint) join users u on u.id = r.id",
       "select 1 from users u, lower(u.name) n where u.id = $1"});
  ExpectSeveral(
      {"select 1 from links l join users u on u.name = l.title where l.id = $1",
       "select 1 from links l join users u on u.id = l.owner where u.id = $1",
       // What an outer join keeps is not held by its condition.
       "select 1 from links l left join users u on l.id = $1 and u.id = l.owner",
       "select 1 from users u right join links l on l.id = $1 and u.id = l.owner",
       "select 1 from links l full join users u on l.id = $1 and u.id = $2",
       "select 1 from links l full join users u using (id) where id = $1",
       // NULLs of an outer join are not one with what is there.
       "select 1 from users a left join users b on b.id = 5 and b.nick = a.nick "
       "where a.id = coalesce(b.id, 3)",
       "select 1 from users a left join users b on b.id = $1 group by b.id",
       "select 1 from links l, unnest($1::bigint[]) i where l.id = $2",
       "select 1 from links l natural join users u where l.id = $1",
       "select 1 from users u, lateral (select l.id from links l where l.id = 1 or u.id > 3) l "
       "where u.id = $1",
       // A source beside it is not known before it is.
       "select 1 from users u, lateral (select u.id as x) s where u.id = s.x",
       "select 1 from users a, users b where a.id = b.id",
       "select 1 from users u, abs(u.id) x where u.id = x",
       "select 1 from links l, twice() t where l.id = $1"});
}

TEST_F(ProofTest, QueriesArePinnedByTheirColumns) {
  ExpectOne(
      {"select 1 from (select id, name as n from users) q where q.id = $1",
       "with q as (select id from users where name = $2) select id from q where id = $1",
       "with q (a) as (select id from users) select a from q where a = $1",
       "select 1 from (select id from users) q (b) where b = $1",
       "with q as (select max(id) as id from users) select u.name from q join users u using (id)",
       "select n from (select owner, sum(id) as n from links group by owner) q "
       "where owner = $1",
       "select name, max(id) from users where name = $1 group by name",
       "select name as n, max(id) from users where name = $1 group by n",
       "select name, max(id) from users where name = $1 group by 1",
       "select c, n from (select coalesce(nick, '') as c, nick is null as n, max(id) from users "
       "group by coalesce(nick, ''), 2) q where c = $1 and n = $2",
       "select distinct name from users where name = $1",
       "select distinct on (u.name) id from users u where u.name = $1 order by u.name, id",
       "select i from (select row_number() over (order by id) as i from users) q where q.i = $1",
       "select a from (select id as a from users union select id from links) q where a = $1",
       "select 1 from (select id from users intersect select $1) q",
       "select id from users where id = $1 except select 2"});
  ExpectSeveral(
      {"with users as (select id, name from links, tags) select id from users where id = $1",
       "select 1 from (select name as id from users) q where q.id = $1",
       "select 1 from (select id from users) q (b), links l where l.id = $1",
       "select 1 from (select id + 1 as id from users) q where q.id = $1",
       "select name, max(id) from users where name like $1 group by name",
       "select nick from (select name, nick from users group by 1, 2) q where name = $1",
       "select distinct name, nick from users where name = $1",
       "select distinct on (u.nick) id from users u where u.name = $1 order by u.nick, id",
       "select i from (select row_number() over (partition by name) as i from users) q where i = 1",
       "select a from (select id as a from users union all select id from links) q where a = $1",
       "with recursive q as (select $1::bigint as id union all select id + 1 from q) "
       "select id from q where id = $1"});
}

TEST_F(ProofTest, WhatIsWrittenIsOneRowWhenItsTargetIs) {
  ExpectOne(
      {"insert into users (id) values ($1) returning id",
       "insert into users (id) values ($1) on conflict do nothing returning id",
       "insert into users (id) values ($1) on conflict (id) do update set nick = 'x' returning id",
       "insert into tags default values returning link",
       "insert into users (id) select $1 where not exists (select from users) returning id",
       "with q as (select id from links where id = $1) insert into users (id) select id from q "
       "returning id",
       "update users set nick = $2 where id = $1 returning id",
       "update links l set embed = true where lower(l.title) = lower($1) returning l.id",
       "update users u set nick = l.title from links l where u.id = $1 and l.owner = u.id "
       "returning u.id",
       "update users u set nick = l.title from links l where l.id = $1 and u.id = l.owner "
       "returning u.id",
       "delete from users where id = $1 returning 1",
       "delete from users u using links l where l.id = $1 and u.id = l.owner returning u.id",
       "with gone as (delete from tags where link = $1 returning 1) select 1 from gone limit 1",
       "with gone as (delete from tags where link = $1 returning 1) select count(distinct 1) from "
       "gone",
       "with made as (insert into users (id) values ($1) returning id), "
       "tagged as (insert into tags (link, tag) select m.id, 'x' from made m returning link) "
       "select m.id from made m left join users u on u.id = m.id",
       "with made as (insert into users (id) select id from links returning id) "
       "select m.id from made m where m.id = $1"});
  ExpectSeveral(
      {"insert into users (id) values (1), (2) returning id",
       "insert into users (id) select id from links returning id",
       "update users set nick = $1 returning id", "delete from tags where link = $1 returning tag",
       "update users u set nick = l.title from links l where l.id = $1 returning u.id",
       // The condition is about old values, the result has new ones.
       "with moved as (update tags set tag = 'x' where link = $1 returning link, tag) "
       "select 1 from moved where tag = $2",
       "with q as (delete from tags returning link, tag) select 1 from q where link = $1"});
  ExpectOne(
      {"with moved as (update tags set tag = 'x' where at < $1 returning link, tag) "
       "select 1 from moved where tag = $2 and link = $3"});
}

TEST_F(ProofTest, ACallOfASetHasOneRow) {
  const std::string request =
      "with request as (select r._call, (r.request ->> 'id')::bigint as id, "
      "r.request ->> 'name' as name from jsonb_array_elements($1) with ordinality r (request, "
      "_call)), "
      "saved as (insert into users as u (id, name, short) select id, name, name from request "
      "on conflict (id) do update set name = excluded.name returning u.id, u.nick) ";
  ExpectOne(
      {"select r._call, u.name from jsonb_array_elements($1) with ordinality r (request, _call) "
       "join users u on u.id = (r.request ->> 'id')::bigint",
       "select r._call, 1 from jsonb_array_elements($1) with ordinality r (request, _call) "
       "left join links l on lower(l.title) = lower(r.request ->> 'title')",
       request + "select r._call, s.nick from request r join saved s using (id)",
       request + "select r._call, coalesce(s.nick, u.nick) from request r "
                 "left join saved s using (id) left join users u using (id)",
       request + "select r._call, max(t.tag) from request r join tags t on t.link = r.id "
                 "group by r._call",
       request + "select distinct on (r._call) r._call, t.tag from request r "
                 "join tags t on t.link = r.id order by r._call, t.at",
       request + "delete from users u using request r where u.id = r.id returning r._call, u.id",
       request + "update users u set nick = r.name from request r where u.id = r.id "
                 "returning r._call, u.id"},
      {0});
  ExpectSeveral(
      {"select r._call, u.name from jsonb_array_elements($1) with ordinality r (request, _call) "
       "join users u on u.name = r.request ->> 'name'",
       "select r._call, 1 from jsonb_each($1) with ordinality r (a, _call, c)",
       request + "select r._call, t.tag from request r join tags t on t.link = r.id",
       request + "select r._call, s.nick from request r, saved s"},
      {0});
  // No two calls are alike in what keeps them apart.
  const std::string again = request + "select r._call from request r join request o using (id)";
  EXPECT_EQ(Of(again).Several({0}, {"id"}), "");
  EXPECT_EQ(Of(again).Several({0}, {"name"}), "o");
  EXPECT_EQ(Of(again).Several({0}, {"id", "name"}), "o");
  EXPECT_EQ(Of(again + " where o.name = r.name").Several({0}, {"name", "id"}), "");
  EXPECT_EQ(Of("select r.n from jsonb_array_elements($1) with ordinality r (e, n) join "
               "jsonb_array_elements($1) with ordinality o (e, n) "
               "on o.e -> 'm' ->> 'id' = r.e -> 'm' ->> 'id'")
                .Several({0}, {"m.id"}),
            "");
  // Without its number it is one of many.
  ExpectSeveral({request + "select r._call from request r"});
}

TEST_F(ProofTest, FindsTheColumnOfAnExpression) {
  const Proof proof = Of(
      "select u.id, lower(u.name) as sort, u.nick as name, coalesce(u.nick, '') as nick, l.title "
      "from users u join links l on true order by lower(u.name), u.id");
  EXPECT_EQ(proof.ColumnOf("u.id"), 0);
  EXPECT_EQ(proof.ColumnOf("id"), 0);
  EXPECT_EQ(proof.ColumnOf("lower( u.name )"), 1);
  EXPECT_EQ(proof.ColumnOf("u.nick"), 2);
  EXPECT_EQ(proof.ColumnOf("coalesce(u.nick, '')"), 3);
  EXPECT_EQ(proof.ColumnOf("title"), 4);
  // Of two, the one of its name.
  EXPECT_EQ(Of("select u.id as ids, u.id from users u").ColumnOf("u.id"), 1);
  EXPECT_EQ(Of("select u.id, u.id as ids from users u").ColumnOf("u.id"), 0);
  EXPECT_EQ(Of("select u.id as ids, u.id as keys from users u").ColumnOf("u.id"), 0);
  // A column that is not what its name says.
  for (const char* none : {"u.name", "nick", "sort", "lower(l.name)", "upper(u.name)", "1", ""}) {
    EXPECT_EQ(proof.ColumnOf(none), -1) << none;
  }
  const Proof two =
      Of("with q as (select a.id from users a) select u.name, q.id "
         "from q join users u using (id) order by q.id, u.name");
  EXPECT_EQ(two.ColumnOf("q.name"), -1);
  EXPECT_EQ(two.ColumnOf("u.id"), -1);
  EXPECT_EQ(two.ColumnOf("a.id"), 1);
  EXPECT_TRUE(two.IsOrderedBy({"a.id", "name"}, false));
  EXPECT_FALSE(two.IsOrderedBy({"u.id", "name"}, false));
  EXPECT_TRUE(proof.IsOrderedBy({"lower(u.name)", "u.id"}, false));
  EXPECT_FALSE(proof.IsOrderedBy({"lower(u.name)", "u.id"}, true));
  EXPECT_FALSE(proof.IsOrderedBy({"u.id", "lower(u.name)"}, false));
  EXPECT_FALSE(proof.IsOrderedBy({"lower(u.name)"}, false));
  const std::string select = "select lower(u.name) as sort, u.id from users u order by ";
  EXPECT_TRUE(Of(select + "sort desc, id desc").IsOrderedBy({"lower(u.name)", "u.id"}, true));
  EXPECT_TRUE(Of(select + "1, 2").IsOrderedBy({"lower(u.name)", "u.id"}, false));
  EXPECT_FALSE(Of(select + "sort desc, id").IsOrderedBy({"lower(u.name)", "u.id"}, true));
  EXPECT_FALSE(Of(select + "u.name, u.id").IsOrderedBy({"lower(u.name)", "u.id"}, false));
}

TEST_F(ProofTest, KnowsExpressions) {
  for (const char* text : {"a", "t.a", "lower(t.a)", "coalesce(a, 0)", "a + 1", "a::text"}) {
    EXPECT_TRUE(IsExpression(text)) << text;
  }
  for (const char* text :
       {"", "a b", "a as b", "a, b", "a nulls last", "a from t", "a desc", ")"}) {
    EXPECT_FALSE(IsExpression(text)) << text;
  }
}

TEST_F(ProofTest, IsOfOneStatement) {
  EXPECT_FALSE(Proof::Make("select 1; select 2", &dictionary).ok());
  EXPECT_FALSE(Proof::Make("", &dictionary).ok());
  EXPECT_FALSE(Proof::Make("selec", &dictionary).ok());
  EXPECT_NE(Of("vacuum").Several(), "");
}

}  // namespace
}  // namespace twi::sql

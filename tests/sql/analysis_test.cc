#include "sql/analysis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "sql/errors.h"
#include "sql/parser.h"

namespace twi::sql {
namespace {

using ::testing::HasSubstr;
using Kind = Analysis::Kind;
using Names = std::vector<std::string>;

Analysis Analysed(const std::string& text) {
  const auto analysis = Analyse(text);
  EXPECT_TRUE(analysis.ok()) << text << ": " << analysis.status();
  return analysis.value_or(Analysis());
}

struct Touched {
  std::string text;
  Names reads;
  Names writes;
};

void ExpectRelations(const std::vector<Touched>& cases) {
  for (const Touched& expected : cases) {
    SCOPED_TRACE(expected.text);
    const Analysis analysis = Analysed(expected.text);
    EXPECT_EQ(analysis.reads, expected.reads);
    EXPECT_EQ(analysis.writes, expected.writes);
  }
}

TEST(Analyse, FindsRelationsRead) {
  ExpectRelations(
      {{"select 1", {}, {}},
       {"select a from t", {"t"}, {}},
       {"select a from b, a, b", {"a", "b"}, {}},
       {"select a from T join \"T\" on true", {"T", "t"}, {}},
       {"select a from public.messages m", {"public.messages"}, {}},
       {"select a from d.s.t", {"d.s.t"}, {}},
       {"select a from only t", {"t"}, {}},
       {"table t", {"t"}, {}},
       {"values ((select a from t))", {"t"}, {}},
       {"select a from t1 left join (t2 cross join t3) on true natural join t4",
        {"t1", "t2", "t3", "t4"},
        {}},
       {"select a from t1 union all (select a from t2 except select a from t3)",
        {"t1", "t2", "t3"},
        {}},
       {"select t.a from t as u", {"t"}, {}},
       {"select a from (select a from t) x", {"t"}, {}},
       {"select a from t1, lateral (select a from t2 where b = t1.b) x", {"t1", "t2"}, {}},
       {"select a from t tablesample system (1)", {"t"}, {}},
       {"select a from f((select b from t)) x", {"t"}, {}},
       {"select a from rows from (f((select b from t)), g()) x", {"t"}, {}},
       {"select a from xmltable('/r' passing (select x from t) columns a int)", {"t"}, {}}});
}

TEST(Analyse, FindsRelationsInEverySubquery) {
  ExpectRelations({{"select (select a from t)", {"t"}, {}},
                   {"select array(select a from t)", {"t"}, {}},
                   {"select 1 where exists (select from t)", {"t"}, {}},
                   {"select 1 where 1 in (select a from t)", {"t"}, {}},
                   {"select 1 where 1 > all (select a from t)", {"t"}, {}},
                   {"select 1 where not (true and (false or (select a from t)))", {"t"}, {}},
                   {"select case when (select a from t) then 1 end", {"t"}, {}},
                   {"select coalesce(null, (select a from t))", {"t"}, {}},
                   {"select row((select a from t))", {"t"}, {}},
                   {"select x[(select a from t):(select a from u)] from v", {"t", "u", "v"}, {}},
                   {"select (select a from t)::text", {"t"}, {}},
                   {"select count(*) filter (where (select a from t))", {"t"}, {}},
                   {"select sum(1) over (partition by (select a from t))", {"t"}, {}},
                   {"select sum(1) over w window w as (order by (select a from t))", {"t"}, {}},
                   {"select string_agg(x, y order by (select a from t))", {"t"}, {}},
                   {"select 1 group by rollup ((select a from t))", {"t"}, {}},
                   {"select 1 having (select a from t)", {"t"}, {}},
                   {"select 1 order by (select a from t)", {"t"}, {}},
                   {"select 1 limit (select a from t) offset (select a from u)", {"t", "u"}, {}},
                   {"select distinct on ((select a from t)) 1", {"t"}, {}},
                   {"select 1 from u join v on (select a from t)", {"t", "u", "v"}, {}}});
}

TEST(Analyse, FindsRelationsWritten) {
  ExpectRelations(
      {{"insert into t (a) values ($1)", {}, {"t"}},
       {"insert into s.t default values", {}, {"s.t"}},
       {"insert into t (a) select a from u returning a", {"u"}, {"t"}},
       {"insert into t (a) values (1) returning (select b from u)", {"u"}, {"t"}},
       {"insert into t (a) values (1) on conflict do nothing", {"t"}, {"t"}},
       {"insert into t (a) values (1) on conflict (a) do update set a = (select a from u) "
        "where exists (select from v)",
        {"t", "u", "v"},
        {"t"}},
       {"update t set a = 1", {"t"}, {"t"}},
       {"update only s.t x set a = (select b from u) from v where x.a = v.a returning x.a",
        {"s.t", "u", "v"},
        {"s.t"}},
       {"update t set (a, b) = (select a, b from u)", {"t", "u"}, {"t"}},
       {"delete from t", {"t"}, {"t"}},
       {"delete from t using u where exists (select from v)", {"t", "u", "v"}, {"t"}},
       {"merge into t using u on t.a = u.a when matched then delete "
        "when not matched then insert values ((select a from v))",
        {"t", "u", "v"},
        {"t"}},
       {"truncate t, s.u cascade", {}, {"s.u", "t"}},
       {"select a into t from u", {"u"}, {"t"}},
       {"create table t as select a from u", {"u"}, {"t"}},
       {"refresh materialized view concurrently v", {}, {"v"}},
       {"copy t from stdin", {}, {"t"}},
       {"copy t (a) to stdout", {"t"}, {}},
       {"copy (select a from t) to stdout", {"t"}, {}},
       {"explain analyze delete from t", {"t"}, {"t"}},
       {"declare c cursor for select a from t", {"t"}, {}},
       {"prepare p as insert into t values (1)", {}, {"t"}}});
}

TEST(Analyse, TellsCtesFromRelations) {
  ExpectRelations(
      {{"with q as (select a from t) select a from q", {"t"}, {}},
       {"with q as (select 1) select a from q as t, t", {"t"}, {}},
       // A qualified name is never a CTE's.
       {"with q as (select 1), \"s.q\" as (select 1) select a from s.q", {"s.q"}, {}},
       // Names are compared as the parser folds them.
       {"with q as (select 1) select a from Q, \"Q\"", {"Q"}, {}},
       // A query does not see itself or what follows, unless the WITH is recursive.
       {"with t as (select a from t) select a from t", {"t"}, {}},
       {"with a as (select 1), b as (select 1 from a) select 1 from b", {}, {}},
       {"with a as (select 1 from b), b as (select 1) select 1 from a", {"b"}, {}},
       {"with recursive t as (select 1 union all select a from t) select a from t", {}, {}},
       {"with recursive a as (select 1 from b), b as (select 1 from u) select 1 from a", {"u"}, {}},
       // The scope is the statement with the WITH, and no more.
       {"select 1 from (with q as (select 1) select 1 from q) x, q", {"q"}, {}},
       {"select (with q as (select 1) select 1 from q) union select a from q", {"q"}, {}},
       {"(with q as (select 1) select 1 from q) union select a from q", {"q"}, {}},
       {"with q as (select 1) select 1 from q union select a from q", {}, {}},
       {"with q as (select 1) select 1; select a from q", {"q"}, {}},
       {"with x as (with q as (select 1) select 1 from q) select 1 from x, q", {"q"}, {}},
       // It reaches every place inside.
       {"with q as (select 1) select (select 1 from q) where exists (select from q)", {}, {}},
       {"with q as (select 1) select 1 from (select 1 from (select 1 from q) a) b", {}, {}},
       {"with q as (select 1) select 1 from t, lateral (with r as (select 1 from q) "
        "select 1 from r, q) x",
        {"t"},
        {}},
       // An inner name hides an outer one only inside.
       {"with t as (select 1 from u) select 1 from (with t as (select 1 from t) "
        "select 1 from t) x, t",
        {"u"},
        {}},
       {"with q as (with q as (select 1 from q) select 1 from q) select 1 from q", {"q"}, {}},
       // A target is never a CTE.
       {"with t as (select a from u) insert into t select a from t", {"u"}, {"t"}},
       {"insert into t with q as (select a from u) select a from q", {"u"}, {"t"}},
       {"with q as (select a from u) update q set a = 1 from q as r", {"q", "u"}, {"q"}},
       {"with q as (select a from u) delete from t using q where t.a = q.a", {"t", "u"}, {"t"}},
       {"with q as (select 1) merge into t using q on true when matched then delete", {"t"}, {"t"}},
       {"with q as (select 1) insert into t values (1) on conflict (a) do update set "
        "a = (select a from q) returning (select a from q)",
        {"t"},
        {"t"}},
       // Data-modifying ones.
       {"with q as (insert into t values (1) returning a) select a from q", {}, {"t"}},
       {"with gone as (delete from t returning a), kept as (insert into u select a from gone "
        "returning a) update v set a = 1 from kept",
        {"t", "v"},
        {"t", "u", "v"}},
       {"with q as (with r as (select a from t) update u set a = 1 from r returning u.a) "
        "select a from q, r",
        {"r", "t", "u"},
        {"u"}}});
}

struct Outermost {
  std::string text;
  Kind kind;
  bool returns_rows;
  bool read_only;
};

TEST(Analyse, DescribesTheOutermostStatement) {
  const std::vector<Outermost> cases = {
      {"select a from t;", Kind::kSelect, true, true},
      {"values (1)", Kind::kSelect, true, true},
      {"table t", Kind::kSelect, true, true},
      {"select 1 union select 2", Kind::kSelect, true, true},
      {"select a from t for key share", Kind::kSelect, true, false},
      {"select a into u from t", Kind::kSelect, false, false},
      {"select a into u from t union select 2 union select 3", Kind::kSelect, false, false},
      {"with q as (select 1) select 1 from q", Kind::kSelect, true, true},
      {"with q as (delete from t returning a) select a from q", Kind::kSelect, true, false},
      {"insert into t values (1)", Kind::kInsert, false, false},
      {"insert into t select 1 limit 1", Kind::kInsert, false, false},
      {"insert into t values (1) returning a", Kind::kInsert, true, false},
      {"with q as (select 1) insert into t select 1 from q", Kind::kInsert, false, false},
      {"update t set a = 1", Kind::kUpdate, false, false},
      {"update t set a = 1 returning 1", Kind::kUpdate, true, false},
      {"delete from t", Kind::kDelete, false, false},
      {"delete from t returning 1", Kind::kDelete, true, false},
      {"merge into t using u on true when matched then delete", Kind::kMerge, false, false}};
  for (const Outermost& expected : cases) {
    SCOPED_TRACE(expected.text);
    const Analysis analysis = Analysed(expected.text);
    EXPECT_EQ(analysis.statements, 1);
    EXPECT_EQ(analysis.kind, expected.kind);
    EXPECT_EQ(analysis.returns_rows, expected.returns_rows);
    EXPECT_EQ(analysis.read_only(), expected.read_only);
  }
}

TEST(Analyse, KnowsNoKindOfOtherStatements) {
  for (const char* text : {"begin",
                           "start transaction read only",
                           "commit",
                           "rollback",
                           "savepoint a",
                           "release a",
                           "prepare transaction 'a'",
                           "set search_path = x",
                           "set local a = 1",
                           "reset all",
                           "show all",
                           "discard all",
                           "listen a",
                           "notify a",
                           "lock table t",
                           "call f()",
                           "do $$ begin delete from t; end $$",
                           "copy t to stdout",
                           "truncate t",
                           "vacuum t",
                           "analyze",
                           "explain select 1",
                           "prepare a as select 1",
                           "execute a",
                           "deallocate a",
                           "declare c cursor for select 1",
                           "fetch all in c",
                           "create table t (a int)",
                           "create table t as select 1",
                           "create view v as select 1",
                           "alter table t add b int",
                           "drop table t",
                           "create index on t (a)",
                           "grant select on t to u",
                           "set role u",
                           "checkpoint"}) {
    SCOPED_TRACE(text);
    const Analysis analysis = Analysed(text);
    EXPECT_EQ(analysis.statements, 1);
    EXPECT_EQ(analysis.kind, Kind::kOther);
    EXPECT_FALSE(analysis.returns_rows);
    EXPECT_FALSE(analysis.read_only());
  }
}

TEST(Analyse, CountsStatementsAndDescribesTheLast) {
  const Analysis analysis = Analysed("begin; delete from t; select a from u limit 1;");
  EXPECT_EQ(analysis.statements, 3);
  EXPECT_EQ(analysis.kind, Kind::kSelect);
  EXPECT_TRUE(analysis.returns_rows);
  EXPECT_FALSE(analysis.read_only());
  EXPECT_EQ(analysis.reads, Names({"t", "u"}));
  EXPECT_EQ(analysis.writes, Names({"t"}));
  EXPECT_FALSE(Analysed("set role admin; select 1").read_only());
  EXPECT_EQ(Analysed("select 1; commit").kind, Kind::kOther);
}

TEST(Analyse, FindsNoStatementInNothing) {
  for (const char* text : {"", "  \n", ";;", "-- only words", "/* only words */ ;"}) {
    const Analysis analysis = Analysed(text);
    EXPECT_EQ(analysis.statements, 0) << text;
    EXPECT_EQ(analysis.kind, Kind::kOther) << text;
    EXPECT_FALSE(analysis.returns_rows) << text;
    EXPECT_FALSE(analysis.read_only()) << text;
  }
}

TEST(Analyse, FindsLocks) {
  for (const char* text :
       {"select a from t for update", "select a from t for no key update skip locked",
        "select a from t for share of t nowait", "select 1 from (select a from t for key share) x",
        "with q as (select a from t for update) select a from q",
        "update t set a = (select a from u for share)"}) {
    EXPECT_TRUE(Analysed(text).locks) << text;
  }
  EXPECT_FALSE(Analysed("select 'for update' from t").locks);
  EXPECT_FALSE(Analysed("update t set a = 1").locks);
}

TEST(Analyse, TakesLockedNamesForAliases) {
  EXPECT_EQ(Analysed("select a from t as x for update of x").reads, Names({"t"}));
}

TEST(Analyse, FindsStars) {
  for (const char* text :
       {"select * from t", "select t.* from t", "select s.t.* from s.t", "select (f(x)).*",
        "select (a).b.* from t", "select 1 from (select * from t) x",
        "select 1 where exists (select * from t)", "with q as (select * from t) select a from q",
        "insert into t values (1) returning *", "update t set a = 1 returning t.*",
        "select 1 union select * from t"}) {
    EXPECT_TRUE(Analysed(text).star) << text;
  }
  for (const char* text : {"select count(*) from t", "select 2 * 3", "select a from t",
                           "select count(*) filter (where true) over () from t", "select '*'",
                           "select to_jsonb(t) from t", "delete from t"}) {
    EXPECT_FALSE(Analysed(text).star) << text;
  }
}

TEST(Analyse, FindsFunctions) {
  const std::vector<std::pair<std::string, Names>> cases = {
      {"select 1 + 2", {}},
      {"select NOW(), now(), \"Now\"()", {"now"}},
      {"select pg_catalog.Now(), Mine.f(g(1))", {"g", "mine.f", "pg_catalog.now"}},
      {"select count(*), sum(a) over (order by h(a)) from t", {"count", "h", "sum"}},
      {"select a from generate_series(1, 2) a", {"generate_series"}},
      {"select current_timestamp, current_timestamp(3), current_date, localtime",
       {"current_date", "current_timestamp", "localtime"}},
      {"select current_user, session_user, user, current_schema, current_catalog",
       {"current_catalog", "current_schema", "current_user", "session_user", "user"}},
      {"select extract(day from a), a at time zone 'UTC' from t",
       {"pg_catalog.extract", "pg_catalog.timezone"}},
      {"select a from t tablesample bernoulli (1)", {"bernoulli"}},
      {"select a from t where b > 'now'::timestamptz", {"now"}},
      {"select date ' Yesterday '", {"now"}},
      {"select 'now'::text, 'now', '2020-02-02'::date, timestamp '-infinity'", {}},
      {"select 'now()', a.now from a -- now()", {}},
      {"with q as (select random()) insert into t select nextval('s') returning f(a)",
       {"f", "nextval", "random"}},
      {"call Mine.p(f())", {"f", "mine.p"}},
  };
  for (const auto& [text, functions] : cases)
    EXPECT_EQ(Analysed(text).functions, functions) << text;
}

TEST(Analyse, FingerprintsTellStatementsNotConstants) {
  const std::string one = Analysed("select a from t where b = 1").fingerprint;
  EXPECT_EQ(Analysed("select a from t where b = 2").fingerprint, one);
  EXPECT_NE(Analysed("select a from t where c = 1").fingerprint, one);
}

TEST(Analyse, RefusesWhatIsNotSql) {
  for (const char* text :
       {"selec 1", "select 1; garbage", "select '\xff' as \"\xfe\"", "select :a"}) {
    const absl::Status status = Analyse(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(Reason(status), "INTERNAL") << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("not SQL")) << text;
  }
}

std::string Repeated(int times, const std::string& text) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

TEST(Analyse, SurvivesTheDeepestNesting) {
  const std::string sums = "select a" + Repeated((kMaxParsed - 8) / 2, "+1");
  const std::string joins = "select 1 from a" + Repeated(3000, " join b on true");
  const std::string unions = "select 1 from a" + Repeated(2500, " union select 1 from b");
  const std::string queries = Repeated(1000, "select 1 from (") + "table a" + Repeated(1000, ") x");
  const std::string withs = Repeated(1500, "with a as (") + "table a" + Repeated(1500, ") table a");
  for (const std::string& text : {sums, joins, unions, queries, withs}) {
    SCOPED_TRACE(text.substr(0, 40));
    const auto analysis = Analyse(text);
    ASSERT_TRUE(analysis.ok()) << analysis.status();
    EXPECT_EQ(analysis->kind, Kind::kSelect);
  }
  EXPECT_EQ(Analysed(joins).reads, Names({"a", "b"}));
  EXPECT_EQ(Analysed(unions).reads, Names({"a", "b"}));
  EXPECT_EQ(Analysed(queries).reads, Names({"a"}));
  EXPECT_EQ(Analysed(withs).reads, Names({"a"}));
}

}  // namespace
}  // namespace twi::sql

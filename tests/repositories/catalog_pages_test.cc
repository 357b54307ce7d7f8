// What the catalog refuses of lists in pages.

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "repositories/catalog.h"
#include "tests/support/database.h"
#include "twi/test/v1/page_mistakes.pb.h"

namespace twi::repositories {
namespace {

constexpr char kStanzas[] = R"(
-- name: Fine
-- page: upper(t.name), coalesce(t.nick, ','), t.id
select upper(t.name) as shout, coalesce(t.nick, ',') as nick, t.id, t.name
from t
where :page.after
order by shout, coalesce(t.nick, ','), id
limit :page.size;

-- name: FineWithin
-- page: t.id desc
with page as (
  select t.id as number, t.id, t.name from t where :page.after order by t.id desc limit :page.size
)
select p.id, coalesce(o.name, p.name) as name
from page p
left join t o on o.id = p.number + 1
order by p.id desc;

-- name: ByResultsName
-- page: shout
select upper(t.name) as shout, t.name from t where :page.after order by shout limit :page.size;

-- name: ByAnothersName
-- page: t.id
select abs(t.id) as id, t.name from t where :page.after order by t.id limit :page.size;

-- name: ByColumnOfAnother
-- page: t.id
select o.id, t.name from t join t o on o.id = t.id where :page.after order by t.id limit :page.size;

-- name: ByNullExpression
-- page: upper(t.nick), t.id
select upper(t.nick), t.id, t.name from t where :page.after order by 1, t.id limit :page.size;

-- name: ByOuterJoin
-- page: o.id
select o.id, t.name from t left join t o on o.id = t.id where :page.after order by o.id limit :page.size;

-- name: ByTies
-- page: t.name
select t.name from t where :page.after order by t.name limit :page.size;

-- name: ByTiesOfJoin
-- page: t.id
select t.id, o.name from t join t o on o.name = t.name where :page.after order by t.id limit :page.size;

-- name: InAnotherOrder
-- page: t.name, t.id
select t.name, t.id from t where :page.after order by t.id, t.name limit :page.size;

-- name: InAnotherDirection
-- page: t.name desc, t.id desc
select t.name, t.id from t where :page.after order by t.name desc, t.id limit :page.size;

-- name: WithoutOrder
-- page: t.id
select t.id, t.name from t where :page.after limit :page.size;

-- name: ByRange
-- page: int8range(t.id, t.id), t.id
select int8range(t.id, t.id), t.id, t.name from t where :page.after order by 1, 2 limit :page.size;

-- name: ByArray
-- page: array[t.id]
select array[t.id], t.name from t where :page.after order by array[t.id] limit :page.size;

-- name: ByJson
-- page: t.extra
select t.extra, t.name from t where :page.after order by t.extra limit :page.size;

-- name: ByWiderType
-- page: coalesce(t.small, 0), t.id
select coalesce(t.small, 0::bigint), t.id, t.name
from t where :page.after order by 1, t.id limit :page.size;

-- name: WithoutToken
-- page: t.id
select t.id, t.name from t where :page.after and t.name = :name order by t.id limit :page.size;

-- name: WithoutRule
-- page: t.id
select t.id, t.name from t where :page.after order by t.id limit :page.size;

-- name: SizeAsText
-- page: t.id
select t.id, t.name from t where :page.after order by t.id limit :page.size::text::bigint;

-- name: StreamWithoutKeys
select t.name as rows from t where t.name = :name;

-- name: StreamOfPages
-- page: t.id
select t.id, t.name from t where :page.after and t.name = :name order by t.id limit :page.size;

-- name: StreamIn
-- page: t.id
select t.id, 1::bigint as count
from t where :page.after and :requests::jsonb is not null order by t.id limit :page.size;
)";

constexpr char kProblems[] = R"(
20: ByResultsName: does not select its key shout: select it as it is there
20: ByResultsName: column shout fills no field of MistakeRow: leave it out or add the field
20: ByResultsName: the database refuses its next pages: column "shout" does not exist (line 22)
24: ByAnothersName: does not select its key t.id: select it as it is there
24: ByAnothersName: column id fills no field of MistakeRow: leave it out or add the field
28: ByColumnOfAnother: does not select its key t.id: select it as it is there
28: ByColumnOfAnother: column id fills no field of MistakeRow: leave it out or add the field
32: ByNullExpression: its key upper(t.nick) may be NULL: pages would lose such rows, say coalesce(upper(t.nick), ...)
36: ByOuterJoin: its key o.id may be NULL: pages would lose such rows, say coalesce(o.id, ...)
40: ByTies: its keys t.name are not shown to be unique together (there may be several rows of t): add the columns of a unique key
44: ByTiesOfJoin: its keys t.id are not shown to be unique together (there may be several rows of o): add the columns of a unique key
48: InAnotherOrder: is not in the order of its keys: say order by t.name, t.id
52: InAnotherDirection: is not in the order of its keys: say order by t.name desc, t.id desc
56: WithoutOrder: is not in the order of its keys: say order by t.id
60: ByRange: its key int8range(t.id, t.id) may be NULL: pages would lose such rows, say coalesce(int8range(t.id, t.id), ...)
60: ByRange: its key int8range(t.id, t.id) is type 3926, which no page token carries: cast it, there and where it is selected
64: ByArray: its key array[t.id] is bigint[], which no page token carries: cast it, there and where it is selected
68: ByJson: its key t.extra is jsonb, which no page token carries: cast it, there and where it is selected
72: ByWiderType: its key coalesce(t.small, 0) is integer but selected as bigint: select it as it is there
77: WithoutToken: a page needs `int32 page_size` and `string page_token` in the request and `string next_page_token` in the response
81: WithoutRule: page_size needs the rule `page: {}`
85: SizeAsText: placeholder :page.size is a number but the statement takes text: cast it, :page.size::bigint
89: StreamWithoutKeys: streams out, which needs a `-- page:` line to read portions by
92: StreamOfPages: streams out: its response must be one repeated field, a portion of the rows
96: StreamIn: lists pages, which a statement over `:requests` cannot: read `:fields`
96: StreamIn: uses :page.size beside :requests, which holds whole requests: take it from their elements, request->>'page.size'
96: StreamIn: column id fills no field of MistakeSum: leave it out or add the field
96: StreamIn: a page needs `int32 page_size` and `string page_token` in the request and `string next_page_token` in the response
)";

TEST(CatalogPagesTest, EveryMistakeIsToldAtOnceWithItsPlace) {
  const testing::Database database;
  database.Run(
      "create table t (id bigint primary key, name text not null, nick text, small integer, "
      "extra jsonb not null)");
  const auto loaded = Catalog::Load(
      database.dsn(), {{"page_mistakes.sql", kStanzas}},
      {test::v1::MistakePage::descriptor()->file()->FindServiceByName("PageMistakesService")});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::vector<Problem> problems = loaded->problems;
  std::ranges::stable_sort(problems, {}, &Problem::line);
  std::string told = "\n";
  for (const Problem& problem : problems) {
    absl::StrAppend(&told, problem.line, ": ", problem.message, "\n");
  }
  EXPECT_EQ(told, kProblems);
}

}  // namespace
}  // namespace twi::repositories

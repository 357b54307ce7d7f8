// What the catalog refuses of sets and of streams in.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "repositories/catalog.h"
#include "tests/support/database.h"
#include "twi/test/v1/set_mistakes.pb.h"

namespace twi::repositories {
namespace {

constexpr char kStanzas[] = R"(
-- name: FineSet
-- batch: id
select r._call, 'x' as name from jsonb_array_elements(:requests) with ordinality r (v, _call);

-- name: FineStream
-- stream: one transaction
select jsonb_array_length(:requests)::bigint as count, 1::bigint as _call;

-- name: BothWays
-- page: count
select jsonb_array_length(:requests)::bigint as count;

-- name: StreamOfFields
select :id::bigint as count;

-- name: KeysOfFields
-- batch: id
select :id::text as name;

-- name: SetAndField
select 1::bigint as _call, :id::text as name where :requests::jsonb is not null;

-- name: SetAsText
select 1::bigint as _call, :requests::text as name;

-- name: NobodysRows
select 1::integer as _call, jsonb_array_length(:requests)::text as name;

-- name: WrongKeys
-- batch: id, ids, answer, answer.nick, answer.name
select 1::bigint as _call, jsonb_array_length(:requests)::text as name;

-- name: MapSet
select 1::bigint as _call, jsonb_array_length(:requests)::text as name;

-- name: SumOfText
select jsonb_array_length(:requests)::text as name;

-- name: SumOfNumeric
select sum(jsonb_array_length(:requests)::bigint) as count, 1 as more;

-- name: NoneOfStream
-- none: OK
select jsonb_array_length(:requests)::bigint as count;

-- name: OneTransactionOfOne
-- stream: one transaction
select 1::bigint as _call, jsonb_array_length(:requests)::text as name;

-- name: PagesOfSet
-- page: name
select name from t where :page.after and :requests::jsonb is not null order by name limit :page.size;

-- name: FieldOfItsName
select jsonb_array_length(:requests)::text as name;
)";

constexpr char kProblems[] = R"(
10: BothWays: streams both ways, which no statement does: take one `stream` away
14: StreamOfFields: streams in, which needs a statement over `:requests`
14: StreamOfFields: nothing in the SQL uses the field ids of SetItem: write `:ids`, or remove it
14: StreamOfFields: nothing in the SQL uses the field answer of SetItem: write `:answer`, or remove it
17: KeysOfFields: has a `-- batch:` line and does not read `:requests`
17: KeysOfFields: field id is int64 but the statement takes text: cast it, :id::bigint
17: KeysOfFields: nothing in the SQL uses the field ids of SetItem: write `:ids`, or remove it
17: KeysOfFields: nothing in the SQL uses the field answer of SetItem: write `:answer`, or remove it
21: SetAndField: uses :id beside :requests, which holds whole requests: take it from their elements, request->>'id'
24: SetAsText: takes :requests as text: it is a jsonb array, cast it, :requests::jsonb
27: NobodysRows: does not tell whose a row is: select the ordinality of `:requests`, a bigint, as _call
30: WrongKeys: `-- batch: ids` names no plain field of SetItem: it is what no two calls of one statement may share
30: WrongKeys: `-- batch: answer` names no plain field of SetItem: it is what no two calls of one statement may share
30: WrongKeys: `-- batch: answer.nick` names no plain field of SetItem: it is what no two calls of one statement may share
34: MapSet: field twi.test.v1.SetMap.words is a map: make it a Struct or a repeated message
37: SumOfText: streams in, so that SetAnswer.name is a sum: make it int64
40: SumOfNumeric: field SetSum.count adds up a bigint column: select one as count
40: SumOfNumeric: column more fills no field of SetSum: leave it out or add the field
43: NoneOfStream: streams in, where `-- none:` says nothing: the response adds up rows
47: OneTransactionOfOne: has a `-- stream:` line and does not stream in
51: PagesOfSet: lists pages, which a statement over `:requests` cannot: read `:fields`
51: PagesOfSet: uses :page.size beside :requests, which holds whole requests: take it from their elements, request->>'page.size'
51: PagesOfSet: does not tell whose a row is: select the ordinality of `:requests`, a bigint, as _call
51: PagesOfSet: a page needs `int32 page_size` and `string page_token` in the request and `string next_page_token` in the response
)";

TEST(CatalogSetsTest, EveryMistakeIsToldAtOnceWithItsPlace) {
  const testing::Database database;
  database.Run("create table t (name text primary key)");
  const auto loaded = Catalog::Load(
      database.dsn(), {{"set_mistakes.sql", kStanzas}},
      {test::v1::SetItem::descriptor()->file()->FindServiceByName("SetMistakesService")});
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

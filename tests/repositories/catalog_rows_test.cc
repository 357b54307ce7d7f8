// What the catalog refuses of rows, of their number and of forms that there are not.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "repositories/catalog.h"
#include "tests/support/database.h"
#include "twi/test/v1/row_mistakes.pb.h"

namespace twi::repositories {
namespace {

constexpr char kTables[] = R"(
create table t (id bigint primary key, name text not null, nick text);
create unique index on t (lower(name));
create table tags (id bigint not null, tag text not null);
)";

constexpr char kStanzas[] = R"(
-- name: FineUpdate
update t set nick = 'x' where lower(name) = lower(:name) and :id > 0 returning name;

-- name: FineInsert
-- none: ALREADY_EXISTS
insert into t (id, name) values (:id, :name) on conflict do nothing returning name;

-- name: FineExists
select exists (select from tags where id = :id and tag = :name) as taken;

-- name: FineSet
with request as (
  select r._call, (r.request ->> 'id')::bigint as id, r.request ->> 'name' as name
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
saved as (
  insert into t as s (id, name)
  select r.id, r.name from request r
  on conflict (id) do update set name = excluded.name
  returning s.id, s.name
),
tagged as (
  insert into tags (id, tag)
  select s.id, 'saved' from saved s
)
select r._call, s.name
from request r
join saved s using (id);

-- name: FineDelete
with gone as (
  delete from tags where id = :id or tag = :name returning 1
)
select 1 from gone limit 1;

-- name: SeveralRows
select name from t where nick = :name and id > :id;

-- name: SeveralWritten
delete from tags where tag = :name and id = :id returning 1;

-- name: SeveralOfJoin
select t.name from t join tags g on g.id = t.id where t.id = :id and g.tag <> :name;

-- name: SeveralOfCall
select r._call, g.tag as name
from jsonb_array_elements(:requests) with ordinality r (request, _call)
join tags g on g.id = (r.request ->> 'id')::bigint;

-- name: OpenQuote
select name from t where id = :id and name <> 'x;

-- name: NumbersToo
select name from t where id = :id and name = $2;

-- name: BelowNumber
select name from t where id = :id.x and lower(name) = :name;

-- name: TwoOfAName
select id::text as name, name from t where id = :id and name = :name;

-- name: OneOfTwo
select name from t where id = :id and name = :name;

-- name: TwoForOne
select name, nick from t where id = :id and name = :name;

-- name: TooWide
select id as number, 0.5::double precision as fraction from t where id = :id and name = :name;

-- name: RequestsWithoutForm
select 1 where :words::jsonb is null or :unnamed::text is null or :masks::jsonb is null;

-- name: ColumnsWithoutForm
select '{}'::jsonb as words, 'none' as unnamed, '[]'::jsonb as masks where :id::bigint = 1 and :name::text = '';

-- name: NoneOfNothing
-- none: NOT_FOUND
delete from t where id = :id and name = :name;

-- name: MayBeNull
select nick as name from t where id = :id and name = :name;
)";

constexpr char kProblems[] = R"(
37: SeveralRows: may return several rows where the response means one, of t: compare all columns of a unique key by =, or say limit 1
40: SeveralWritten: may return several rows where the response means one, of tags: compare all columns of a unique key by =, or read it as a common table expression and say limit 1
43: SeveralOfJoin: may return several rows where the response means one, of g: compare all columns of a unique key by =, or say limit 1
46: SeveralOfCall: may return several rows for one call, of g: join it by all columns of a unique key or of `-- batch:`, or select distinct on (_call)
51: OpenQuote: not SQL: unterminated quoted string at or near "'x;" (character 47)
54: NumbersToo: placeholders are names or numbers, not both: :id beside $n
57: BelowNumber: placeholder :id.x goes below id, which is int64: only singular messages have fields below them
57: BelowNumber: nothing in the SQL uses the field id of RowById: write `:id`, or remove it
60: TwoOfAName: two columns are called name: name one of them otherwise with as
60: TwoOfAName: column name fills no field of RowName: leave it out or add the field
63: OneOfTwo: column name is meant by RowWithin and by RowName: rename the field of one of them
66: TwoForOne: field RowNames.names takes one column: call it names
66: TwoForOne: column name fills no field of RowNames: leave it out or add the field
66: TwoForOne: column nick fills no field of RowNames: leave it out or add the field
69: TooWide: column number is bigint but field RowNarrow.number is int32: make the field int64 or cast it, number::integer
69: TooWide: column fraction is double precision but field RowNarrow.fraction is float: make the field double or cast it, fraction::real
72: RequestsWithoutForm: field twi.test.v1.RowFormless.words is a map: make it a Struct or a repeated message
72: RequestsWithoutForm: enum twi.test.v1.RowUnnamed has no value <PREFIX>_UNSPECIFIED = 0 whose prefix all the others share: name its values so
72: RequestsWithoutForm: field twi.test.v1.RowFormless.masks is a list of masks: make it a repeated string
75: ColumnsWithoutForm: field twi.test.v1.RowFormless.words is a map: make it a Struct or a repeated message
75: ColumnsWithoutForm: enum twi.test.v1.RowUnnamed has no value <PREFIX>_UNSPECIFIED = 0 whose prefix all the others share: name its values so
75: ColumnsWithoutForm: field twi.test.v1.RowFormless.masks is a list of masks: make it a repeated string
78: NoneOfNothing: `-- none:` says nothing of a statement without rows: add `returning 1`
)";

constexpr char kWarnings[] = R"(
82: MayBeNull: column name may be NULL but field RowName.name has no presence: make it optional or say coalesce(name, ...)
)";

std::string Told(std::vector<Problem> problems) {
  std::ranges::stable_sort(problems, {}, &Problem::line);
  std::string told = "\n";
  for (const Problem& problem : problems) {
    EXPECT_EQ(problem.file, "row_mistakes.sql");
    absl::StrAppend(&told, problem.line, ": ", problem.message, "\n");
  }
  return told;
}

TEST(CatalogRowsTest, EveryMistakeIsToldAtOnceWithItsPlace) {
  const testing::Database database;
  database.Run(kTables);
  const auto loaded = Catalog::Load(
      database.dsn(), {{"row_mistakes.sql", kStanzas}},
      {test::v1::RowById::descriptor()->file()->FindServiceByName("RowMistakesService")});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->catalog, nullptr);
  EXPECT_EQ(Told(loaded->problems), kProblems);
  EXPECT_EQ(Told(loaded->warnings), kWarnings);
}

}  // namespace
}  // namespace twi::repositories

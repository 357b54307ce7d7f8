// Shapes of responses, answers to no row, and updates by mask, from the request's bytes to the
// response's.

#include "tests/support/operation_fixture.h"
#include "twi/test/v1/shapes.pb.h"

namespace twi::server {
namespace {

constexpr char kTables[] = R"(
create table hidden_shapes (
  id bigint constraint shape_key primary key,
  name text not null constraint shape_name check (name <> 'hush!'),
  nick text,
  tags text[] not null default '{}'
);
create table hidden_archive (
  id bigint constraint archive_key primary key,
  name text not null
);
create table hidden_counts (
  rows bigint not null constraint count_key unique,
  i bigint not null
);)";

/// What each shape reads, with as many rows as the request says.
const std::pair<const char*, const char*> kShapes[] = {
    {"List",
     "select i as id, 'hush ' || i as name, null::text as nick, array['a'] as tags "
     "from hidden_counts where rows = :rows order by i;"},
    {"Resource",
     "select i as id, 'hush ' || i as name, null::text as nick, '{}'::text[] as tags, "
     "i = 1 as created from hidden_counts where rows = :rows;"},
    {"Record",
     "select i as count, jsonb_agg(jsonb_build_object('id', i, 'tags', array['t'])) as shapes, "
     "jsonb_build_object('id', i, 'nick', '') as last, array_agg(i) as ids "
     "from hidden_counts where rows = :rows group by i;"},
    {"Nothing", "select i from hidden_counts where rows = :rows;"},
};

constexpr char kStanzas[] = R"(
-- name: UpsertShape
insert into hidden_shapes (id, name, nick, tags)
values (:id, :name, :nick, :tags)
on conflict (id) do update set name = excluded.name, nick = excluded.nick, tags = excluded.tags
returning id, name, nick, tags, xmax = 0 as created;

-- name: CreateShape
-- none: ALREADY_EXISTS
insert into hidden_shapes (id, name, nick, tags)
values (:id, :name, :nick, :tags)
on conflict (id) do nothing
returning id, name, nick, tags, true as created;

-- name: AddShape
insert into hidden_shapes (id, name, nick, tags)
values (nullif(:id, 0), :name, :nick, :tags)
returning id, name, nick, tags, true as created;

-- name: TouchShape
update hidden_shapes set name = name where id = :rows;

-- name: MoveShape
with moved as (
  delete from hidden_shapes
  where id = :rows
  returning id, name, nick, tags
), archived as (
  insert into hidden_archive (id, name)
  select id, name
  from moved
)
select id, name, nick, tags, false as created
from moved;

-- name: UpdateShape
update hidden_shapes
set
  name = case when 'name' = any(:update_mask) then :name else name end,
  nick = case when 'nick' = any(:update_mask) then :nick else nick end,
  tags = case when 'tags' = any(:update_mask) then :tags else tags end
where id = :id
returning id, name, nick, tags;

-- name: ReplaceShape
update hidden_shapes
set
  name = case when 'name' = any(:update_mask) then coalesce(:patch.name, 'nameless') else name end,
  nick = case when 'nick' = any(:update_mask) then :patch.nick else nick end
where id = :id
returning id, name, nick, tags;
)";

class OperationsTest : public testing::OperationFixture {
 protected:
  static void SetUpTestSuite() {
    std::string stanzas = kStanzas;
    for (const auto& [shape, sql] : kShapes) {
      stanzas += std::string("-- name: ") + shape + "\n" + sql + "\n";
      for (const auto& [name, none] : {std::pair("Ok", "OK"),
                                       {"NotFound", "NOT_FOUND"},
                                       {"AlreadyExists", "ALREADY_EXISTS"}}) {
        stanzas +=
            std::string("-- name: ") + shape + name + "\n-- none: " + none + "\n" + sql + "\n";
      }
    }
    Serve(kTables, stanzas,
          test::v1::Shape::descriptor()->file()->FindServiceByName("ShapesService"));
    // The key that the catalog has seen goes, so that there can be more rows than are meant.
    database().Run(
        "alter table hidden_counts drop constraint count_key;"
        "insert into hidden_counts values (1, 1), (2, 1), (2, 2)");
  }

  void SetUp() override {
    database().Run(
        "truncate hidden_shapes, hidden_archive;"
        "insert into hidden_shapes values (1, 'hush one', 'hush', '{x,y}')");
  }
};

TEST_F(OperationsTest, ShapesSayTheCardinality) {
  for (const char* none : {"", "Ok", "NotFound", "AlreadyExists"}) {
    ExpectAnswer(std::string("List") + none, "rows: 2",
                 "shapes { id: 1 name: 'hush 1' tags: 'a' } "
                 "shapes { id: 2 name: 'hush 2' tags: 'a' }");
    ExpectAnswer(std::string("Resource") + none, "rows: 1",
                 "shape { id: 1 name: 'hush 1' } created: true");
    ExpectAnswer(std::string("Record") + none, "rows: 1",
                 "count: 1 shapes { id: 1 tags: 't' } last { id: 1 nick: '' } ids: 1");
    ExpectAnswer(std::string("Nothing") + none, "rows: 1", "");
    for (const char* shape : {"Resource", "Record", "Nothing"}) {
      ExpectRefusal(std::string(shape) + none, "rows: 2", Code::INTERNAL, "INTERNAL");
    }
  }
}

TEST_F(OperationsTest, NoRowIsWhatTheStanzaSays) {
  for (const auto& [shape, sql] : kShapes) {
    const std::string name = shape;
    ExpectAnswer(name + "Ok", "", "");
    ExpectRefusal(name + "NotFound", "", Code::NOT_FOUND, "ROW_NOT_FOUND");
    ExpectRefusal(name + "AlreadyExists", "", Code::ALREADY_EXISTS, "ROW_EXISTS");
    if (name != "List") ExpectRefusal(name, "", Code::NOT_FOUND, "ROW_NOT_FOUND");
  }
  ExpectAnswer("List", "", "");
}

TEST_F(OperationsTest, AWriteSaysWhatItDid) {
  const std::string shape = "id: 2 name: 'two' tags: ['a', '']";
  ExpectAnswer("CreateShape", shape, "shape {" + shape + "} created: true");
  ExpectRefusal("CreateShape", shape, Code::ALREADY_EXISTS, "ROW_EXISTS");
  ExpectAnswer("UpsertShape", "id: 2 nick: ''", "shape { id: 2 nick: '' }");
  ExpectAnswer("UpsertShape", "id: 3", "shape { id: 3 } created: true");
  // An update without `returning` does not tell whether there was anything.
  ExpectAnswer("TouchShape", "rows: 1", "");
  ExpectAnswer("TouchShape", "rows: 99", "");
}

TEST_F(OperationsTest, SeveralTablesChangeAtOnce) {
  ExpectAnswer("MoveShape", "rows: 1",
               "shape { id: 1 name: 'hush one' nick: 'hush' tags: ['x', 'y'] }");
  ExpectRefusal("MoveShape", "rows: 1", Code::NOT_FOUND, "ROW_NOT_FOUND");
  EXPECT_EQ(database().Value("select name from hidden_archive"), "hush one");
  // Neither of them changes when one cannot.
  database().Run("insert into hidden_shapes values (1, 'hush again')");
  ExpectRefusal("MoveShape", "rows: 1", Code::ALREADY_EXISTS, "ROW_EXISTS", "archive_key");
  EXPECT_EQ(database().Value("select count(*) from hidden_shapes"), "1");
}

TEST_F(OperationsTest, ErrorsOfTheDatabaseNameWhatTheyMay) {
  ExpectRefusal("AddShape", "id: 1 name: 'hush'", Code::ALREADY_EXISTS, "ROW_EXISTS", "shape_key");
  ExpectRefusal("AddShape", "id: 4 name: 'hush!'", Code::FAILED_PRECONDITION, "CONSTRAINT_VIOLATED",
                "shape_name");
  ExpectRefusal("AddShape", "name: 'hush'", Code::INVALID_ARGUMENT, "VALUE_INVALID", "id");
  ExpectRefusal("AddShape", "id: 4 name: 'hush\\000'", Code::INVALID_ARGUMENT, "TEXT_CONTAINS_NUL",
                "name");
  ExpectRefusal("AddShape", "id: 4 tags: ['', 'hush\\000']", Code::INVALID_ARGUMENT,
                "TEXT_CONTAINS_NUL", "tags[1]");
  EXPECT_EQ(database().Value("select count(*) from hidden_shapes"), "1");
}

TEST_F(OperationsTest, AnEmptyMaskMeansTheFieldsThatAreSet) {
  ExpectAnswer("UpdateShape", "id: 1",
               "shape { id: 1 name: 'hush one' nick: 'hush' tags: ['x', 'y'] }");
  ExpectAnswer("UpdateShape", "id: 1 name: 'new' update_mask {}",
               "shape { id: 1 name: 'new' nick: 'hush' tags: ['x', 'y'] }");
  ExpectAnswer("UpdateShape", "id: 1 nick: '' tags: 'z'",
               "shape { id: 1 name: 'new' nick: '' tags: 'z' }");
  ExpectAnswer("ReplaceShape", "id: 1 patch { name: '' }", "shape { id: 1 nick: '' tags: 'z' }");
  ExpectAnswer("ReplaceShape", "id: 1", "shape { id: 1 nick: '' tags: 'z' }");
  ExpectRefusal("UpdateShape", "id: 2 name: 'new'", Code::NOT_FOUND, "ROW_NOT_FOUND");
}

TEST_F(OperationsTest, AMaskNamesWhatIsTaken) {
  // What is set and not named stays; what is named and not set is NULL, or its default without one.
  ExpectAnswer("UpdateShape", "id: 1 name: 'new' tags: 'z' update_mask { paths: 'name' }",
               "shape { id: 1 name: 'new' nick: 'hush' tags: ['x', 'y'] }");
  ExpectAnswer("UpdateShape", "id: 1 update_mask { paths: ['nick', 'tags'] }",
               "shape { id: 1 name: 'new' }");
  EXPECT_EQ(database().Value("select nick is null and tags = '{}' from hidden_shapes"), "t");
  ExpectAnswer("UpdateShape", "id: 1 update_mask { paths: ['name', 'name'] }", "shape { id: 1 }");
  ExpectAnswer("ReplaceShape", "id: 1 patch { nick: 'n' } update_mask { paths: ['name', 'nick'] }",
               "shape { id: 1 name: 'nameless' nick: 'n' }");
  ExpectAnswer("ReplaceShape", "id: 1 update_mask { paths: 'nick' }",
               "shape { id: 1 name: 'nameless' }");
}

TEST_F(OperationsTest, AMaskNamesOnlyWhatCanBeUpdated) {
  for (const std::string path :
       {"hush", "id", "update_mask", "name.hush", "patch.name", "", "*", "Name", "name,nick"}) {
    const std::string mask = "update_mask { paths: 'name' paths: '" + path + "' }";
    ExpectRefusal("UpdateShape", "id: 1 name: 'new' " + mask, Code::INVALID_ARGUMENT,
                  "FIELD_INVALID", "update_mask");
    ExpectRefusal("ReplaceShape", "id: 1 patch { name: 'new' } " + mask, Code::INVALID_ARGUMENT,
                  "FIELD_INVALID", "update_mask");
  }
  // Told in responses, and nothing in the SQL takes it.
  ExpectRefusal("ReplaceShape", "id: 1 patch { version: 3 } update_mask { paths: 'version' }",
                Code::INVALID_ARGUMENT, "FIELD_INVALID", "update_mask");
  EXPECT_EQ(database().Value("select name from hidden_shapes"), "hush one");
}

}  // namespace
}  // namespace twi::server

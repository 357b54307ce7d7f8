#include "repositories/rows.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "repositories/postgres_types.h"
#include "tests/support/database.h"
#include "tests/support/prepared.h"
#include "twi/test/v1/codec.pb.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::util::MessageDifferencer;
using test::v1::ElementsResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Shape = RowPlan::Shape;

template <typename T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

sql::Column ColumnOf(const std::string& name, sql::Oid type) {
  sql::Column column;
  column.name = name;
  column.type = type;
  return column;
}

struct Made {
  RowPlan plan;
  std::vector<std::string> problems;
  std::vector<std::string> warnings;
};

Made Make(const Descriptor* response, const std::vector<sql::Column>& columns,
          const std::vector<std::string>& page_keys = {}) {
  Made made;
  made.plan = RowPlan::Make(response, columns, page_keys, &made.problems, &made.warnings);
  return made;
}

/// What responses become of rows that PostgreSQL returns.
class RowsOfPostgres : public ::testing::Test {
 protected:
  /// Encodes all rows of `query`, all of whose columns have fields.
  absl::StatusOr<std::string> Encode(const Descriptor* response, const std::string& query,
                                     const std::vector<std::string>& page_keys = {}) {
    const testing::Prepared statement(database_.dsn(), query);
    const Made made = Make(response, statement.description().columns, page_keys);
    EXPECT_THAT(made.problems, IsEmpty()) << query;
    if (!made.problems.empty()) return absl::InternalError("problems");
    const sql::Rows rows = statement.Run();
    EXPECT_TRUE(Fits(rows, made.plan.columns()));
    std::string bytes;
    absl::Status status = made.plan.Encode(rows, rows.size(), &bytes);
    if (!status.ok()) return status;
    return bytes;
  }

  /// Expects the response and, so that the bytes are those that protobuf itself would write, as
  /// many bytes as it takes.
  template <typename T>
  void Expect(const std::string& query, const std::string& expected,
              const std::vector<std::string>& page_keys = {}) {
    const auto bytes = Encode(T::descriptor(), query, page_keys);
    ASSERT_TRUE(bytes.ok()) << bytes.status() << "\n" << query;
    T response;
    ASSERT_TRUE(response.ParseFromString(*bytes)) << query;
    EXPECT_TRUE(MessageDifferencer::Equals(response, Parse<T>(expected))) << query << "\n"
                                                                          << response.DebugString();
    EXPECT_EQ(bytes->size(), response.ByteSizeLong()) << query;
  }

  testing::Database database_;
};

TEST_F(RowsOfPostgres, EveryRowIsAnElement) {
  const std::string query =
      "select id, name, note from (values (1::bigint, 'a', null), (0, '', ''), (3, repeat('x', "
      "300), "
      "'n')) v (id, name, note)";
  Expect<ElementsResponse>(
      query, "rows { id: 1 name: 'a' } rows { note: '' } rows { id: 3 note: 'n' name: '" +
                 std::string(300, 'x') + "' }");
  Expect<ElementsResponse>(query + " where id > 9", "");
  Expect<ElementsResponse>("select 1::bigint as id, 'a' as name, null as note, now() as created_at",
                           "rows { id: 1 name: 'a' }", {"created_at"});
}

TEST_F(RowsOfPostgres, ElementsMayBeValues) {
  Expect<test::v1::NamesResponse>("select unnest(array['a', '']) as name", "names: ['a', '']");
  Expect<test::v1::IdsResponse>("select i::bigint as id from generate_series(0, 2) i",
                                "ids: [0, 1, 2]");
  Expect<test::v1::IdsResponse>("select 1::bigint as id where false", "");
  Expect<test::v1::NamesResponse>("select 'a' as name, 5 as position", "names: 'a'", {"position"});
  Expect<test::v1::NamesResponse>("select 'a' as name", "names: 'a'", {"name"});
  Expect<test::v1::ExtrasResponse>(
      "select '{}'::jsonb as extra union all select '{\"k\": true}'",
      "extras {} extras { fields { key: 'k' value { bool_value: true } } }");
  const auto null = Encode(test::v1::NamesResponse::descriptor(), "select null::text as name");
  EXPECT_EQ(null.status().message(), "column name is a NULL element");
}

TEST_F(RowsOfPostgres, OneRowIsTheResource) {
  Expect<test::v1::ResourceResponse>(
      "select 1::bigint as id, 'a' as name, null as note, true as created",
      "row { id: 1 name: 'a' } created: true");
  Expect<test::v1::ResourceResponse>(
      "select 0::bigint as id, '' as name, null as note, false as created", "row {}");
}

TEST_F(RowsOfPostgres, OneRowIsTheRecord) {
  Expect<test::v1::RecordResponse>(
      R"(select 1::bigint as count, null::jsonb as row,
                jsonb_agg(jsonb_build_object('id', id, 'name', name, 'note', note)) as rows
         from (values (9007199254740993, 'n', null)) v (id, name, note))",
      "count: 1 rows { id: 9007199254740993 name: 'n' }");
  Expect<test::v1::RecordResponse>(
      "select 2::bigint as count, '{\"id\": 1}'::jsonb as row, '[{\"id\": 2}, {}]'::json as rows",
      "count: 2 row { id: 1 } rows { id: 2 } rows {}");
  Expect<test::v1::TimeResponse>("select 'epoch'::timestamp as at", "at {}");
  Expect<test::v1::TimeResponse>("select null::timestamp as at", "");
}

TEST_F(RowsOfPostgres, OneMemberOfAOneofIsThere) {
  using test::v1::TargetResponse;
  Expect<TargetResponse>("select 0::bigint as user_id, null as channel, '' as name", "user_id: 0");
  Expect<TargetResponse>("select null::bigint as user_id, 'c' as channel, 'n' as name",
                         "channel: 'c' name: 'n'");
  Expect<TargetResponse>("select null::bigint as user_id, null as channel, '' as name", "");
  const auto both = Encode(TargetResponse::descriptor(),
                           "select 0::bigint as user_id, '' as channel, '' as name");
  EXPECT_EQ(both.status().message(),
            "column channel is not the only one of its oneof that is not NULL");
}

TEST_F(RowsOfPostgres, NullIsTheDefaultOfAFieldWithoutPresence) {
  Expect<ElementsResponse>("select null::bigint as id, null as name, null as note", "rows {}");
}

TEST_F(RowsOfPostgres, FitsTheColumnsOfThePlanOnly) {
  const testing::Prepared made(database_.dsn(), "select 1::bigint as count");
  const testing::Prepared type(database_.dsn(), "select 1::integer as count");
  const testing::Prepared name(database_.dsn(), "select 1::bigint as total");
  const testing::Prepared more(database_.dsn(), "select 1::bigint as count, 2 as more");
  const RowPlan plan = Make(test::v1::IdsResponse::descriptor(), made.description().columns).plan;
  EXPECT_TRUE(Fits(made.Run(), plan.columns()));
  EXPECT_FALSE(Fits(type.Run(), plan.columns()));
  EXPECT_FALSE(Fits(name.Run(), plan.columns()));
  EXPECT_FALSE(Fits(more.Run(), plan.columns()));
  const testing::Prepared several(database_.dsn(), "select 1::bigint as count, 2 as _call");
  EXPECT_TRUE(Fits(several.Run(), plan.columns()));
}

TEST(Rows, ShapesFollowTheResponse) {
  const sql::Column count = ColumnOf("count", kInt8);
  EXPECT_EQ(Make(ElementsResponse::descriptor(), {}).plan.shape(), Shape::kElements);
  EXPECT_EQ(Make(test::v1::NamesResponse::descriptor(), {}).plan.shape(), Shape::kElements);
  EXPECT_EQ(Make(test::v1::ResourceResponse::descriptor(), {}).plan.shape(), Shape::kResource);
  EXPECT_EQ(Make(test::v1::ResourceResponse::descriptor(), {ColumnOf("row", kJsonb)}).plan.shape(),
            Shape::kRecord);
  EXPECT_EQ(Make(test::v1::TimeResponse::descriptor(), {}).plan.shape(), Shape::kRecord);
  EXPECT_EQ(Make(test::v1::TargetResponse::descriptor(), {}).plan.shape(), Shape::kRecord);
  const Made nothing = Make(test::v1::NothingResponse::descriptor(), {count});
  EXPECT_EQ(nothing.plan.shape(), Shape::kNothing);
  EXPECT_THAT(nothing.problems, IsEmpty());
}

TEST(Rows, ProblemsSayWhatToChange) {
  const auto problems = [](const Descriptor* type, const std::vector<sql::Column>& columns) {
    return Make(type, columns).problems;
  };
  const Descriptor* elements = ElementsResponse::descriptor();
  const sql::Column id = ColumnOf("id", kInt8);
  const sql::Column name = ColumnOf("name", kText);
  const sql::Column note = ColumnOf("note", kText);
  EXPECT_THAT(problems(elements, {id, note}),
              ElementsAre("field Row.name has no column: select a text as name"));
  EXPECT_THAT(problems(elements, {id, name, note, ColumnOf("tokens", kText)}),
              ElementsAre("column tokens fills no field of Row: leave it out or add the field"));
  EXPECT_THAT(problems(elements, {id, name, note, name}),
              ElementsAre("two columns are called name: name one of them otherwise with as",
                          HasSubstr("column name fills no field")));
  EXPECT_THAT(problems(elements, {ColumnOf("id", kText), name, note}),
              ElementsAre("column id is text but field Row.id is int64: cast it, id::bigint"));
  EXPECT_THAT(problems(elements, {ColumnOf("id", kNumeric), name, note}),
              ElementsAre(HasSubstr("column id is numeric")));
  EXPECT_THAT(
      problems(test::v1::IdsResponse::descriptor(), {id, ColumnOf("x", kInt8)}),
      ElementsAre("field IdsResponse.ids takes one column: call it ids",
                  HasSubstr("column id fills no field"), HasSubstr("column x fills no field")));
  EXPECT_THAT(problems(test::v1::ResourceResponse::descriptor(),
                       {id, name, note, ColumnOf("created", kText)}),
              ElementsAre(HasSubstr("cast it, created::boolean")));
}

TEST(Rows, WarnsOfColumnsThatMayBeNull) {
  sql::Column id = ColumnOf("id", kInt8);
  sql::Column name = ColumnOf("name", kText);
  sql::Column note = ColumnOf("note", kText);
  for (sql::Column* column : {&id, &name, &note}) column->table = 5;
  id.not_null = true;
  EXPECT_THAT(Make(ElementsResponse::descriptor(), {id, name, note}).warnings,
              ElementsAre("column name may be NULL but field Row.name has no presence: make it "
                          "optional or say coalesce(name, ...)"));
  name.table = 0;
  EXPECT_THAT(Make(ElementsResponse::descriptor(), {id, name, note}).warnings, IsEmpty());
}

}  // namespace
}  // namespace twi::repositories

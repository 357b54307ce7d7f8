#include "repositories/cell.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "repositories/postgres_types.h"
#include "sql/errors.h"
#include "tests/support/database.h"
#include "tests/support/prepared.h"
#include "twi/test/v1/codec.pb.h"

namespace twi::repositories {
namespace {

using google::protobuf::util::MessageDifferencer;
using test::v1::Everything;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

/// What a field becomes of a value of PostgreSQL.
class CellOfPostgres : public ::testing::Test {
 protected:
  /// Expects one field of Everything filled and, so that the bytes are those that protobuf itself
  /// would write, as many bytes as it takes.
  void ExpectField(const std::string& field, const std::string& value,
                   const std::string& expected) {
    const auto bytes = EncodeField(field, value);
    ASSERT_TRUE(bytes.ok()) << bytes.status() << "\n" << value;
    Everything response;
    ASSERT_TRUE(response.ParseFromString(*bytes)) << value;
    EXPECT_TRUE(MessageDifferencer::Equals(response, Parse<Everything>(expected)))
        << value << "\n"
        << response.DebugString();
    EXPECT_EQ(bytes->size(), response.ByteSizeLong()) << value;
  }

  void ExpectLoss(const std::string& field, const std::string& value, const std::string& why) {
    const auto bytes = EncodeField(field, value);
    EXPECT_EQ(bytes.status().code(), absl::StatusCode::kDataLoss) << value;
    EXPECT_EQ(sql::Reason(bytes.status()), "VALUE_UNREPRESENTABLE");
    EXPECT_EQ(sql::Facts(bytes.status()),
              (std::vector<std::pair<std::string, std::string>>{{"column", field}}));
    EXPECT_EQ(bytes.status().message(), "column " + field + " " + why) << value;
  }

  absl::StatusOr<std::string> EncodeField(const std::string& field, const std::string& value) {
    const testing::Prepared statement(database_.dsn(), "select " + value + " as " + field);
    const auto* descriptor = Everything::descriptor()->FindFieldByName(field);
    const Cell cell(0, statement.description().columns[0], descriptor, false);
    std::vector<std::string> problems;
    cell.Check(statement.description().columns[0], &problems, &problems);
    EXPECT_THAT(problems, IsEmpty()) << value;
    if (!problems.empty()) return absl::InternalError("problems");
    const sql::Rows rows = statement.Run();
    std::string bytes;
    absl::Status status = cell.Append(rows.value(0, 0), &bytes);
    if (!status.ok()) return status;
    return bytes;
  }

  testing::Database database_;
};

TEST_F(CellOfPostgres, Integers) {
  ExpectField("i32", "(-5)::smallint", "i32: -5");
  ExpectField("i32", "2147483647::integer", "i32: 2147483647");
  ExpectField("i64", "(-9223372036854775807 - 1)::bigint", "i64: -9223372036854775808");
  ExpectField("i64", "7::smallint", "i64: 7");
  ExpectField("u32", "4294967295::bigint", "u32: 4294967295");
  ExpectField("u64", "9223372036854775807::bigint", "u64: 9223372036854775807");
  ExpectField("s64", "(-3)::bigint", "s64: -3");
  ExpectField("f32", "300::integer", "f32: 300");
  ExpectField("f64", "(-300)::bigint", "f64: -300");
  ExpectField("i64", "0::bigint", "");
  ExpectField("f64", "0::bigint", "");
  ExpectField("maybe_i64", "0::bigint", "maybe_i64: 0");
  ExpectField("user_id", "0::bigint", "user_id: 0");
  ExpectLoss("u32", "(-1)::bigint", "holds no uint32");
  ExpectLoss("u64", "(-1)::bigint", "holds no uint64");
}

TEST_F(CellOfPostgres, OtherScalars) {
  ExpectField("flag", "true", "flag: true");
  ExpectField("flag", "false", "");
  ExpectField("maybe_flag", "false", "maybe_flag: false");
  ExpectField("real", "1.5::real", "real: 1.5");
  ExpectField("wide", "0.1::double precision", "wide: 0.1");
  ExpectField("wide", "1.5::real", "wide: 1.5");
  ExpectField("wide", "0::double precision", "");
  ExpectField("text", "'Ünïcode'::text", "text: 'Ünïcode'");
  ExpectField("text", "repeat('x', 200)::varchar", "text: '" + std::string(200, 'x') + "'");
  ExpectField("text", "''::text", "");
  ExpectField("maybe_text", "''::text", "maybe_text: ''");
  ExpectField("text", "'{\"a\": 1}'::jsonb", "text: '{\"a\": 1}'");
  ExpectField("text", "'{\"a\":1}'::json", "text: '{\"a\":1}'");
  ExpectField("text", "'00112233-4455-6677-8899-AABBCCDDEEFF'::uuid",
              "text: '00112233-4455-6677-8899-aabbccddeeff'");
  ExpectField("text", "'pg_class'::name", "text: 'pg_class'");
  ExpectField("raw", "'\\x00ff'::bytea", "raw: '\\000\\xff'");
}

TEST_F(CellOfPostgres, Enums) {
  ExpectField("mood", "'very_sad'::text", "mood: MOOD_VERY_SAD");
  ExpectField("maybe_mood", "'glad'::varchar", "maybe_mood: MOOD_GLAD");
  ExpectField("mood", "7::smallint", "mood: MOOD_VERY_SAD");
  ExpectField("mood", "0::integer", "");
  ExpectField("moods", "array['glad', 'very_sad']", "moods: [MOOD_GLAD, MOOD_VERY_SAD]");
  ExpectLoss("mood", "'GLAD'::text", "holds no name of Mood");
  ExpectLoss("mood", "'unspecified'::text", "holds no name of Mood");
  ExpectLoss("mood", "''::text", "holds no name of Mood");
  ExpectLoss("mood", "3::integer", "holds no twi.test.v1.Mood");
}

TEST_F(CellOfPostgres, Times) {
  ExpectField("at", "'2023-11-14 22:13:20.123456+00'::timestamptz",
              "at { seconds: 1700000000 nanos: 123456000 }");
  ExpectField("at", "'2023-11-14 22:13:20'::timestamp", "at { seconds: 1700000000 }");
  ExpectField("at", "'1970-01-01 00:00:00'::timestamp", "at {}");
  ExpectField("at", "'1969-12-31 23:59:59.999999'::timestamp",
              "at { seconds: -1 nanos: 999999000 }");
  ExpectField("at", "'1970-01-02'::date", "at { seconds: 86400 }");
  ExpectField("at", "'0001-01-01'::timestamp", "at { seconds: -62135596800 }");
  ExpectField("at", "'9999-12-31 23:59:59.999999'::timestamp",
              "at { seconds: 253402300799 nanos: 999999000 }");
  ExpectField("times", "array['1970-01-01 00:00:01'::timestamp, 'epoch']",
              "times { seconds: 1 } times {}");
  ExpectField("length", "'1 day 00:00:01.5'::interval",
              "length { seconds: 86401 nanos: 500000000 }");
  ExpectField("length", "'-00:00:01.5'::interval", "length { seconds: -1 nanos: -500000000 }");
  ExpectField("length", "'1 day -00:00:00.5'::interval",
              "length { seconds: 86399 nanos: 500000000 }");
  ExpectField("length", "'-1 day 00:00:00.5'::interval",
              "length { seconds: -86399 nanos: -500000000 }");
  const std::string past = "holds a time that is infinite or not in years 1 to 9999";
  ExpectLoss("at", "'infinity'::timestamptz", past);
  ExpectLoss("at", "'-infinity'::timestamp", past);
  ExpectLoss("at", "'infinity'::date", past);
  ExpectLoss("at", "'-infinity'::date", past);
  ExpectLoss("at", "'0001-12-31 BC'::timestamp", past);
  ExpectLoss("at", "'10000-01-01'::timestamp", past);
  ExpectLoss("length", "'1 month'::interval",
             "holds an interval of months, which have no one length");
}

TEST_F(CellOfPostgres, Arrays) {
  ExpectField("ids", "array[3, -1]::bigint[]", "ids: [3, -1]");
  ExpectField("ids", "array[3, 0]::smallint[]", "ids: [3, 0]");
  ExpectField("ids", "(select array_agg(i) from generate_series(1, 200) i)", [] {
    std::string text;
    for (int i = 1; i <= 200; ++i) text += "ids: " + std::to_string(i) + " ";
    return text;
  }());
  ExpectField("ids", "'{}'::bigint[]", "");
  ExpectField("names", "array['a', '']", "names: ['a', '']");
  ExpectField("flags", "array[false, true]", "flags: [false, true]");
  ExpectField("reals", "array[0.5, 0]::double precision[]", "reals: [0.5, 0]");
  ExpectField("blobs", "array['\\x01'::bytea]", "blobs: '\\001'");
  ExpectLoss("ids", "array[1, null]::bigint[]", "holds an array with a NULL element");
  ExpectLoss("names", "array[null]::text[]", "holds an array with a NULL element");
  ExpectLoss("ids", "array[[1], [2]]::bigint[]", "holds an array of more than one dimension");
}

TEST_F(CellOfPostgres, JsonBecomesMessages) {
  const std::string json = R"x('{"id": 9223372036854775807, "name": "n", "note": "", "mood": "glad",
      "at": "1970-01-01T02:00:00.000005+02:00", "digest": "\\xFf", "ratio": 0.1, "sizes": [1, -2],
      "length": "-90.5s", "hash": "18446744073709551615", "parts": [{"id": "-7"}, {}],
      "extra": {"a": [null, true, 1e300, "s", {}], "b": 1000000000000000000}}')x";
  const std::string text = R"(
    id: 9223372036854775807 name: "n" note: "" mood: MOOD_GLAD at { nanos: 5000 } digest: "\377"
    ratio: 0.1 sizes: [1, -2] length { seconds: -90 nanos: -500000000 } hash: 18446744073709551615
    parts { id: -7 } parts {}
    extra {
      fields { key: "b" value { number_value: 1e18 } }
      fields { key: "a" value { list_value { values { null_value: 0 } values { bool_value: true }
        values { number_value: 1e300 } values { string_value: "s" } values { struct_value {} } } } }
    })";
  ExpectField("attachment", json + "::jsonb", "attachment {" + text + "}");
  ExpectField("attachment", json + "::json", "attachment {" + text + "}");
  ExpectField("attachments", "jsonb_build_array(" + json + "::jsonb, '{}'::jsonb)",
              "attachments {" + text + "} attachments {}");
  ExpectField("attachments", "'[]'::jsonb", "");
  ExpectField("attachment", "'{}'::jsonb", "attachment {}");
  ExpectField("attachment", "'null'::jsonb", "");
  ExpectField("attachment", "'{\"name\": null, \"note\": null, \"parts\": null}'::jsonb",
              "attachment {}");
  ExpectField("extra", "'{\"k\": -1.5}'::jsonb",
              "extra { fields { key: 'k' value { number_value: -1.5 } } }");
  ExpectField("any", "'null'::jsonb", "any { null_value: 0 }");
  ExpectField("any", "'\"s\"'::jsonb", "any { string_value: 's' }");
  ExpectField("any", "'0'::jsonb", "any { number_value: 0 }");
  ExpectField("ids", "'[1, \"2\"]'::jsonb", "ids: [1, 2]");
  ExpectField("names", "'[\"a\"]'::json", "names: 'a'");
}

TEST_F(CellOfPostgres, JsonOfRowsIsAsPostgresWritesIt) {
  database_.Run(R"(
    create table parts (id bigint, name text, note text, at timestamptz, digest bytea, ratio float8,
                        length interval, local timestamp);
    insert into parts values (9007199254740993, 'n', null, '2023-11-14 22:13:20.5+00', '\x01', 'NaN',
                              '1 day 2 seconds', '2023-11-14 22:13:20');
    do $do$ begin
      execute format('alter database %I set timezone = ''Asia/Kathmandu''', current_database());
    end $do$)");
  ExpectField("attachment",
              "(select jsonb_build_object('at', at, 'digest', digest, 'length', "
              "extract(epoch from length)) from parts)",
              "attachment { at { seconds: 1700000000 nanos: 500000000 } digest: '\\001' "
              "length { seconds: 86402 } }");
  ExpectField("attachment", "(select jsonb_build_object('at', local) from parts)",
              "attachment { at { seconds: 1700000000 } }");
  ExpectField("attachment", "(select jsonb_build_object('at', local::date) from parts)",
              "attachment { at { seconds: 1699920000 } }");
}

TEST_F(CellOfPostgres, JsonOfAnotherShapeIsLost) {
  const auto loss = [this](const std::string& json, const std::string& why) {
    ExpectLoss("attachments", "'" + json + "'::json", "does not fit: attachments" + why);
  };
  loss(R"({})", " is no array");
  loss(R"([null])", "[0] has a NULL element");
  loss(R"([{}, 1])", "[1] is no object");
  loss(R"([{"id": "x"}])", "[0].id is no int64");
  loss(R"([{"id": 1.5}])", "[0].id is no int64");
  loss(R"([{"id": 9223372036854775808}])", "[0].id is no int64");
  loss(R"([{"hash": -1}])", "[0].hash is no uint64");
  loss(R"([{"sizes": [1, 2147483648]}])", "[0].sizes[1] is no int32");
  loss(R"([{"sizes": [null]}])", "[0].sizes[0] has a NULL element");
  loss(R"([{"name": 1}])", "[0].name is no string");
  loss(R"([{"mood": "angry"}])", "[0].mood is no Mood");
  loss(R"([{"digest": "ff"}])", "[0].digest is no bytea");
  loss(R"([{"ratio": "1"}])", "[0].ratio is no number");
  loss(R"([{"at": "infinity"}])", "[0].at is no time");
  loss(R"([{"at": "10000-01-01T00:00:00Z"}])", "[0].at is no time in years 1 to 9999");
  loss(R"([{"length": "1 day"}])", "[0].length is no number of seconds");
  loss(R"([{"parts": [{"secret": 1}]}])", "[0].parts[0] has a key that Attachment has not");
  loss(R"([{"extra": [1]}])", "[0].extra is no object");
  loss(R"([{"extra": {"id": 9007199254740993}}])",
       "[0].extra is an integer that a double cannot tell");
  const std::string deep = std::string(60, '[') + std::string(60, ']');
  const auto bytes = EncodeField("any", "'" + deep + "'::jsonb");
  EXPECT_EQ(bytes.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(bytes.status().message()), HasSubstr("is nested too deeply"));
}

TEST(Cell, ProblemsOfTypes) {
  const auto problem = [](const std::string& field, sql::Oid type) {
    const sql::Column column = ColumnOf(field, type);
    std::vector<std::string> problems;
    Cell(0, column, Everything::descriptor()->FindFieldByName(field), false)
        .Check(column, &problems, &problems);
    return problems;
  };
  EXPECT_THAT(problem("i32", kInt8), ElementsAre("column i32 is bigint but field Everything.i32 is "
                                                 "int32: make the field int64 or cast it, "
                                                 "i32::integer"));
  EXPECT_THAT(problem("real", kFloat8), ElementsAre(HasSubstr("make the field double or cast it")));
  EXPECT_THAT(problem("i64", kFloat8), ElementsAre(HasSubstr("i64::bigint")));
  EXPECT_THAT(problem("wide", kInt8), ElementsAre(HasSubstr("wide::double precision")));
  EXPECT_THAT(problem("ids", kInt8), ElementsAre(HasSubstr("ids::bigint[]")));
  EXPECT_THAT(problem("i64", 1016), ElementsAre(HasSubstr("is bigint[]")));
  EXPECT_THAT(problem("attachment", kText), ElementsAre(HasSubstr("attachment::jsonb")));
  EXPECT_THAT(problem("text", kBytea), ElementsAre(HasSubstr("text::text")));
  EXPECT_THAT(problem("at", kJsonb), IsEmpty());
  EXPECT_THAT(problem("plain", kText), ElementsAre(HasSubstr("_UNSPECIFIED")));
  EXPECT_THAT(problem("counts", kJsonb), ElementsAre(HasSubstr("is a map")));
}

}  // namespace
}  // namespace twi::repositories

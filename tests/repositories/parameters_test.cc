#include "repositories/parameters.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"
#include "repositories/postgres_types.h"
#include "sql/errors.h"
#include "tests/support/database.h"
#include "tests/support/prepared.h"
#include "twi/test/v1/codec.pb.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::Message;
using test::v1::Everything;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr sql::Oid kTextArray = 1009;
constexpr sql::Oid kInt8Array = 1016;

template <typename T = Everything>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

std::vector<std::string> Problems(const Descriptor* request, const std::string& name,
                                  sql::Oid type) {
  std::vector<std::string> problems;
  ParameterPlan::Make(request, {name}, {type}, &problems);
  return problems;
}

google::rpc::BadRequest Details(const absl::Status& status) {
  google::rpc::BadRequest details;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  EXPECT_TRUE(payload.has_value() && details.ParseFromString(std::string(*payload))) << status;
  return details;
}

/// What PostgreSQL reads of one bound field.
class ParametersInPostgres : public ::testing::Test {
 protected:
  /// The database's text of `name` of `request` bound as `type`; "NULL" for NULL. The statement
  /// takes `others`, texts, beside it.
  std::string Bound(const Message& request, const std::string& name, const std::string& type,
                    const std::vector<std::string>& others = {}) {
    std::string text = "select coalesce(($1::" + type + ")::text, 'NULL') as bound";
    std::vector<std::string> names = {name};
    for (const std::string& other : others) {
      names.push_back(other);
      text += ", $" + std::to_string(names.size()) + "::text";
    }
    const testing::Prepared statement(database_.dsn(), text);
    std::vector<std::string> problems;
    const auto plan = ParameterPlan::Make(request.GetDescriptor(), names,
                                          statement.description().parameters, &problems);
    EXPECT_THAT(problems, IsEmpty());
    if (!problems.empty()) return "";
    sql::Parameters parameters;
    const absl::Status status = plan.Bind(request, nullptr, &parameters);
    EXPECT_TRUE(status.ok()) << status;
    return status.ok() ? std::string(statement.Run(parameters).value(0, 0)) : "";
  }

  std::string Bound(const std::string& request, const std::string& name, const std::string& type) {
    return Bound(Parse(request), name, type);
  }

  testing::Database database_;
};

TEST_F(ParametersInPostgres, Integers) {
  EXPECT_EQ(Bound("i64: -9223372036854775808", "i64", "bigint"), "-9223372036854775808");
  EXPECT_EQ(Bound("i64: 2147483647", "i64", "integer"), "2147483647");
  EXPECT_EQ(Bound("i32: -32768", "i32", "smallint"), "-32768");
  EXPECT_EQ(Bound("u32: 4294967295", "u32", "bigint"), "4294967295");
  EXPECT_EQ(Bound("u64: 9223372036854775807", "u64", "bigint"), "9223372036854775807");
  EXPECT_EQ(Bound("s64: -5", "s64", "bigint"), "-5");
  EXPECT_EQ(Bound("f32: 5", "f32", "integer"), "5");
}

TEST_F(ParametersInPostgres, OtherScalars) {
  EXPECT_EQ(Bound("flag: true", "flag", "boolean"), "true");
  EXPECT_EQ(Bound("real: 1.5", "real", "real"), "1.5");
  EXPECT_EQ(Bound("real: 1.5", "real", "double precision"), "1.5");
  EXPECT_EQ(Bound("wide: -0.1", "wide", "double precision"), "-0.1");
  EXPECT_EQ(Bound("wide: inf", "wide", "real"), "Infinity");
  EXPECT_EQ(Bound("text: 'Ünïcode'", "text", "text"), "Ünïcode");
  EXPECT_EQ(Bound("text: 'x'", "text", "varchar"), "x");
  EXPECT_EQ(Bound("text: '{\"a\": 1}'", "text", "json"), "{\"a\": 1}");
  EXPECT_EQ(Bound("raw: '\\000\\xff'", "raw", "bytea"), "\\x00ff");
}

TEST_F(ParametersInPostgres, FieldsThatAreNotSet) {
  EXPECT_EQ(Bound("", "i64", "bigint"), "0");
  EXPECT_EQ(Bound("", "text", "text"), "");
  EXPECT_EQ(Bound("", "flag", "boolean"), "false");
  EXPECT_EQ(Bound("", "ids", "bigint[]"), "{}");
  EXPECT_EQ(Bound("", "maybe_i64", "bigint"), "NULL");
  EXPECT_EQ(Bound("maybe_i64: 0", "maybe_i64", "bigint"), "0");
  EXPECT_EQ(Bound("", "maybe_text", "text"), "NULL");
  EXPECT_EQ(Bound("", "at", "timestamptz"), "NULL");
  EXPECT_EQ(Bound("", "attachment", "jsonb"), "NULL");
  EXPECT_EQ(Bound("user_id: 0", "user_id", "bigint"), "0");
  EXPECT_EQ(Bound("user_id: 0", "channel", "text"), "NULL");
}

TEST_F(ParametersInPostgres, PathsGoDownIntoMessages) {
  EXPECT_EQ(Bound("attachment { name: 'a.png' }", "attachment.name", "text"), "a.png");
  EXPECT_EQ(Bound("attachment {}", "attachment.name", "text"), "");
  EXPECT_EQ(Bound("", "attachment.name", "text"), "NULL");
}

TEST_F(ParametersInPostgres, EnumsAreNamesOrNumbers) {
  EXPECT_EQ(Bound("mood: MOOD_VERY_SAD", "mood", "text"), "very_sad");
  EXPECT_EQ(Bound("mood: MOOD_VERY_SAD", "mood", "smallint"), "7");
  EXPECT_EQ(Bound("", "mood", "text"), "NULL");
  EXPECT_EQ(Bound("", "mood", "integer"), "0");
  EXPECT_EQ(Bound("maybe_mood: MOOD_UNSPECIFIED", "maybe_mood", "text"), "NULL");
  EXPECT_EQ(Bound("moods: [MOOD_GLAD, MOOD_VERY_SAD]", "moods", "text[]"), "{glad,very_sad}");
  EXPECT_EQ(Bound("plain: SOME", "plain", "integer"), "1");
}

TEST_F(ParametersInPostgres, Times) {
  const std::string at = "at { seconds: 1700000000 nanos: 123456789 }";
  EXPECT_EQ(Bound(at, "at", "timestamp"), "2023-11-14 22:13:20.123456");
  EXPECT_EQ(Bound("at { seconds: -1 nanos: 999999000 }", "at", "timestamp"),
            "1969-12-31 23:59:59.999999");
  EXPECT_EQ(Bound("at { seconds: -62135596800 }", "at", "timestamp"), "0001-01-01 00:00:00");
  EXPECT_EQ(Bound("times { seconds: 0 } times { seconds: 1 }", "times", "timestamp[]"),
            "{\"1970-01-01 00:00:00\",\"1970-01-01 00:00:01\"}");
  EXPECT_EQ(Bound("length { seconds: -90 nanos: -500000000 }", "length", "interval"),
            "-00:01:30.5");
}

TEST_F(ParametersInPostgres, Arrays) {
  EXPECT_EQ(Bound("ids: [3, -1]", "ids", "bigint[]"), "{3,-1}");
  EXPECT_EQ(Bound("ids: [3, -1]", "ids", "integer[]"), "{3,-1}");
  EXPECT_EQ(Bound("names: ['a', '', 'c,d']", "names", "text[]"), "{a,\"\",\"c,d\"}");
  EXPECT_EQ(Bound("flags: [true, false]", "flags", "boolean[]"), "{t,f}");
  EXPECT_EQ(Bound("reals: [0.5]", "reals", "double precision[]"), "{0.5}");
  EXPECT_EQ(Bound("blobs: 'x'", "blobs", "bytea[]"), "{\"\\\\x78\"}");
  EXPECT_EQ(Bound("ids: [3, 1]", "ids", "jsonb"), "[3, 1]");
}

TEST_F(ParametersInPostgres, MessagesAreJson) {
  const std::string attachment = R"(
    id: 9223372036854775807 name: "a\"\\\n\001é" at { seconds: 1 nanos: 5000 } mood: MOOD_GLAD
    digest: "\377" ratio: 0.1 sizes: [1, 2] length { seconds: 3 nanos: 500000000 }
    extra { fields { key: "k" value { list_value { values { null_value: 0 } values { bool_value: true }
      values { number_value: 1e300 } values { string_value: "s" } values { struct_value {} } } } } }
    hash: 18446744073709551615 parts { note: "" })";
  const std::string part =
      R"("id": 0, "name": "", "note": "", "mood": null, "parts": [], "digest": "\\x", "ratio": 0,
         "sizes": [], "hash": 0)";
  const std::string whole =
      R"({"id": 9223372036854775807, "name": "a\"\\\n\u0001é", "mood": "glad",
          "at": "1970-01-01T00:00:01.000005Z", "parts": [{)" +
      part + R"(}], "digest": "\\xff", "ratio": 0.1, "sizes": [1, 2], "length": "3.500000s",
          "extra": {"k": [null, true, 1e300, "s", {}]}, "hash": 18446744073709551615})";
  EXPECT_EQ(Bound("attachment {" + attachment + "}", "attachment", "jsonb"),
            database_.Value("select $x$" + whole + "$x$::jsonb::text"));
  EXPECT_EQ(
      Bound("attachments {" + attachment + "} attachments { note: '' }", "attachments", "jsonb"),
      database_.Value("select $x$[" + whole + ", {" + part + "}]$x$::jsonb::text"));
  EXPECT_EQ(
      Bound("attachments {}", "attachments", "json"),
      R"([{"id":0,"name":"","mood":null,"parts":[],"digest":"\\x","ratio":0,"sizes":[],"hash":0}])");
  EXPECT_EQ(Bound("", "attachments", "jsonb"), "[]");
  EXPECT_EQ(Bound("extra {}", "extra", "jsonb"), "{}");
  EXPECT_EQ(Bound("any { number_value: -7 }", "any", "jsonb"), "-7");
}

TEST_F(ParametersInPostgres, RecordsOfJsonHaveTheirTypes) {
  const testing::Prepared statement(database_.dsn(), R"(
    select concat_ws('|', id, name, at at time zone 'UTC', digest, length, _call)
    from rows from (jsonb_to_recordset($1)
      as (id bigint, name text, at timestamptz, digest bytea, length interval))
      with ordinality as r (id, name, at, digest, length, _call))");
  std::vector<std::string> problems;
  const auto plan = ParameterPlan::Make(Everything::descriptor(), {"attachments"},
                                        statement.description().parameters, &problems);
  ASSERT_THAT(problems, IsEmpty());
  sql::Parameters parameters;
  ASSERT_TRUE(plan.Bind(Parse(R"(attachments { id: 9007199254740993 name: "n" at { seconds: 1 }
                                   digest: "\x01" length { seconds: -90 nanos: -500000000 } })"),
                        nullptr, &parameters)
                  .ok());
  EXPECT_EQ(statement.Run(parameters).value(0, 0),
            "9007199254740993|n|1970-01-01 00:00:01|\\x01|-00:01:30.5|1");
}

TEST_F(ParametersInPostgres, UpdateMasks) {
  const auto own = Parse<test::v1::UpdateRowRequest>("id: 1 name: '' ids: 2");
  const std::vector<std::string> taken = {"name", "note"};
  EXPECT_EQ(Bound(own, "update_mask", "text[]", taken), "{name}");
  auto named = own;
  named.mutable_update_mask()->add_paths("note");
  EXPECT_EQ(Bound(named, "update_mask", "text[]", taken), "{note}");
  EXPECT_EQ(Bound(test::v1::UpdateRowRequest(), "update_mask", "text[]", taken), "{}");

  const auto title = Parse<test::v1::UpdateTitleRequest>("title: 'a' note: 'n'");
  EXPECT_EQ(Bound(title, "update_mask", "text[]", {"title", "note"}), "{note}");

  const auto resource = Parse<test::v1::UpdateResourceRequest>("row { id: 2 name: 'n' note: '' }");
  EXPECT_EQ(Bound(resource, "update_mask", "text[]", {"row.name", "row.note"}), "{name,note}");

  test::v1::BatchRequest batch;
  *batch.add_requests() = own;
  EXPECT_EQ(Bound(batch, "requests", "jsonb"),
            R"([{"id": 1, "ids": [2], "name": "", "update_mask": ["name", "ids"]}])");
}

TEST(Parameters, MasksNameWhatTheStatementTakes) {
  const Descriptor* type = test::v1::UpdateResourceRequest::descriptor();
  const auto request = Parse<test::v1::UpdateResourceRequest>("update_mask { paths: 'note' }");
  const auto bind = [&](const std::string& taken, sql::Oid oid) {
    std::vector<std::string> problems;
    const auto plan =
        ParameterPlan::Make(type, {"update_mask", taken}, {kTextArray, oid}, &problems);
    EXPECT_THAT(problems, IsEmpty());
    sql::Parameters parameters;
    return plan.Bind(request, nullptr, &parameters);
  };
  EXPECT_TRUE(bind("row.note", kText).ok());
  EXPECT_TRUE(bind("row", kJsonb).ok());
  const absl::Status refused = bind("row.name", kText);
  EXPECT_EQ(sql::Reason(refused), "FIELD_INVALID");
  EXPECT_EQ(Details(refused).field_violations(0).field(), "update_mask");
}

TEST(Parameters, JsonIsRefusedThatIsNestedTooDeeply) {
  const auto bind = [](int depth) {
    Everything request;
    google::protobuf::Value* value = request.mutable_any();
    for (int i = 0; i < depth; ++i) {
      value = i % 2 == 0 ? &(*value->mutable_struct_value()->mutable_fields())["k"]
                         : value->mutable_list_value()->add_values();
    }
    value->set_bool_value(true);
    std::vector<std::string> problems;
    const auto plan = ParameterPlan::Make(Everything::descriptor(), {"any"}, {kJsonb}, &problems);
    EXPECT_THAT(problems, IsEmpty());
    sql::Parameters parameters;
    return plan.Bind(request, nullptr, &parameters);
  };
  EXPECT_TRUE(bind(25).ok());
  for (const int depth : {26, 1000}) {
    const absl::Status refused = bind(depth);
    EXPECT_EQ(sql::Reason(refused), "FIELD_INVALID");
    EXPECT_THAT(Details(refused).field_violations(0).field(), HasSubstr("any.k[0].k"));
    EXPECT_EQ(Details(refused).field_violations(0).description(), "is nested too deeply");
  }
}

TEST(Parameters, BindsPages) {
  std::vector<std::string> problems;
  const auto plan = ParameterPlan::Make(Everything::descriptor(),
                                        {"page.after_1", "page.size", "page.size", "page.after_0"},
                                        {kTimestamptz, kInt8, kInt4, kInt8}, &problems);
  ASSERT_THAT(problems, IsEmpty());
  PageArguments page;
  page.size_plus_one = 258;
  page.after = {"1st key.", std::string("\0.2nd k.", 8)};
  sql::Parameters parameters;
  ASSERT_TRUE(plan.Bind(Everything(), &page, &parameters).ok());
  ASSERT_EQ(parameters.size(), 4);
  EXPECT_EQ(parameters.value(0), page.after[1]);
  EXPECT_EQ(parameters.value(1), std::string("\0\0\0\0\0\0\1\2", 8));
  EXPECT_EQ(parameters.value(2), std::string("\0\0\1\2", 4));
  EXPECT_EQ(parameters.value(3), "1st key.");
  EXPECT_EQ(plan.Bind(Everything(), nullptr, &parameters).code(), absl::StatusCode::kInternal);
  page.after[1].pop_back();
  EXPECT_EQ(sql::Reason(plan.Bind(Everything(), &page, &parameters)), "PAGE_TOKEN_INVALID");
  page.after.pop_back();
  EXPECT_EQ(plan.Bind(Everything(), &page, &parameters).code(), absl::StatusCode::kInternal);
}

struct Refusal {
  std::string request;
  std::string name;
  sql::Oid type;
  std::string reason;
  std::string field;
  std::string description;
};

class ParametersRefuse : public ::testing::TestWithParam<Refusal> {};

TEST_P(ParametersRefuse, WithTheField) {
  const Refusal& expected = GetParam();
  std::vector<std::string> problems;
  const auto plan =
      ParameterPlan::Make(Everything::descriptor(), {expected.name}, {expected.type}, &problems);
  ASSERT_THAT(problems, IsEmpty());
  sql::Parameters parameters;
  const absl::Status status = plan.Bind(Parse(expected.request), nullptr, &parameters);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(sql::Reason(status), expected.reason);
  EXPECT_EQ(status.message(), expected.field + " " + expected.description);
  const auto details = Details(status);
  ASSERT_EQ(details.field_violations_size(), 1);
  EXPECT_EQ(details.field_violations(0).field(), expected.field);
  EXPECT_EQ(details.field_violations(0).description(), expected.description);
}

const std::string kNul = "must not contain U+0000";
const std::string kYears = "must be a time in years 1 to 9999 with 0 to 999,999,999 nanos";
const std::string kSpan = "must be at most 10,000 years, its seconds and nanos of one sign";

INSTANTIATE_TEST_SUITE_P(
    All, ParametersRefuse,
    ::testing::Values(
        Refusal{"i64: 2147483648", "i64", kInt4, "FIELD_INVALID", "i64",
                "must be between -2147483648 and 2147483647"},
        Refusal{"i32: 32768", "i32", kInt2, "FIELD_INVALID", "i32",
                "must be between -32768 and 32767"},
        Refusal{"u64: 9223372036854775808", "u64", kInt8, "FIELD_INVALID", "u64",
                "must be between -9223372036854775808 and 9223372036854775807"},
        Refusal{"ids: [1, 2147483648]", "ids", 1007, "FIELD_INVALID", "ids[1]",
                "must be between -2147483648 and 2147483647"},
        Refusal{"wide: 1e39", "wide", kFloat4, "FIELD_INVALID", "wide",
                "must be within the range of a float"},
        Refusal{"mood: 9", "mood", kText, "FIELD_INVALID", "mood", "has no value 9"},
        Refusal{"mood: 9", "mood", kInt4, "FIELD_INVALID", "mood", "has no value 9"},
        Refusal{"moods: [1, 0]", "moods", kTextArray, "FIELD_INVALID", "moods[1]",
                "must not be UNSPECIFIED"},
        Refusal{"at { seconds: 253402300800 }", "at", kTimestamptz, "FIELD_INVALID", "at", kYears},
        Refusal{"at { nanos: -1 }", "at", kTimestamptz, "FIELD_INVALID", "at", kYears},
        Refusal{"length { seconds: 1 nanos: -1 }", "length", kInterval, "FIELD_INVALID", "length",
                kSpan},
        Refusal{"text: 'a\\000b'", "text", kText, "TEXT_CONTAINS_NUL", "text", kNul},
        Refusal{"text: '\"\\000\"'", "text", kJson, "TEXT_CONTAINS_NUL", "text", kNul},
        Refusal{"names: ['a', '\\000']", "names", kTextArray, "TEXT_CONTAINS_NUL", "names[1]",
                kNul},
        Refusal{"attachment { name: '\\000' }", "attachment.name", kText, "TEXT_CONTAINS_NUL",
                "attachment.name", kNul},
        Refusal{"attachments {} attachments { parts { name: '\\000' } }", "attachments", kJsonb,
                "TEXT_CONTAINS_NUL", "attachments[1].parts[0].name", kNul},
        Refusal{
            "attachment { extra { fields { key: 'k' value { list_value { values { string_value: "
            "'\\000' } } } } } }",
            "attachment.extra", kJsonb, "TEXT_CONTAINS_NUL", "attachment.extra.k[0]", kNul},
        Refusal{"attachment { mood: 5 }", "attachment", kJson, "FIELD_INVALID", "attachment.mood",
                "has no value 5"},
        Refusal{"attachment { at { nanos: -1 } }", "attachment", kJsonb, "FIELD_INVALID",
                "attachment.at", kYears},
        Refusal{"any { number_value: nan }", "any", kJsonb, "FIELD_INVALID", "any",
                "must be a finite number"}));

TEST(Parameters, ProblemsSayWhatToChange) {
  const Descriptor* type = Everything::descriptor();
  EXPECT_THAT(
      Problems(type, "i64", kText),
      ElementsAre("field i64 is int64 but the statement takes text: cast it, :i64::bigint"));
  EXPECT_THAT(Problems(type, "i64", kNumeric), ElementsAre(HasSubstr("takes numeric")));
  EXPECT_THAT(Problems(type, "ids", kInt8),
              ElementsAre("field ids is repeated int64 but the statement takes bigint: cast it, "
                          ":ids::bigint[]"));
  EXPECT_THAT(Problems(type, "i64", kInt8Array), ElementsAre(HasSubstr("takes bigint[]")));
  EXPECT_THAT(Problems(type, "names", kInt8Array), ElementsAre(HasSubstr(":names::text[]")));
  EXPECT_THAT(Problems(type, "attachment", kText), ElementsAre(HasSubstr(":attachment::jsonb")));
  EXPECT_THAT(Problems(type, "at", kDate), ElementsAre(HasSubstr(":at::timestamptz")));
  EXPECT_THAT(Problems(type, "text", kJsonb), ElementsAre(HasSubstr(":text::text")));
  EXPECT_THAT(Problems(type, "text", 99999), ElementsAre(HasSubstr("takes type 99999")));
  EXPECT_THAT(Problems(type, "page.size", kText), ElementsAre(HasSubstr(":page.size::bigint")));
}

TEST(Parameters, ProblemsNameFieldsThatAreMeant) {
  const Descriptor* type = test::v1::UpdateResourceRequest::descriptor();
  EXPECT_THAT(Problems(type, "rwo", kJsonb),
              ElementsAre("placeholder :rwo is no field: UpdateResourceRequest has no rwo; did you "
                          "mean row?"));
  EXPECT_THAT(Problems(type, "row.title", kText),
              ElementsAre("placeholder :row.title is no field: Row has no title, only id, name, "
                          "note"));
  EXPECT_THAT(Problems(type, "id.x", kText),
              ElementsAre(HasSubstr("goes below id, which is int64")));
  EXPECT_THAT(Problems(test::v1::BatchRequest::descriptor(), "requests.id", kInt8),
              ElementsAre(HasSubstr("only singular messages")));
}

TEST(Parameters, ProblemsOfFormsThatJsonHasNot) {
  const Descriptor* type = Everything::descriptor();
  EXPECT_THAT(Problems(type, "counts", kJsonb), ElementsAre(HasSubstr("is a map")));
  EXPECT_THAT(Problems(type, "plain", kText), ElementsAre(HasSubstr("_UNSPECIFIED")));
}

TEST(Parameters, NamesUnusedFields) {
  std::vector<std::string> problems;
  const Descriptor* type = test::v1::UpdateResourceRequest::descriptor();
  const auto plan = ParameterPlan::Make(type, {"row.id"}, {kInt8}, &problems);
  EXPECT_THAT(plan.UnusedFields(type), ElementsAre("id", "update_mask"));
}

}  // namespace
}  // namespace twi::repositories

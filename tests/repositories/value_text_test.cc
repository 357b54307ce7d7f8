#include "repositories/value_text.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "sql/errors.h"
#include "tests/support/database.h"

namespace twi::repositories {
namespace {

using data::v1::Value;

Value Make(const std::string& text) {
  Value value;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &value)) << text;
  return value;
}

/// What is sent for it.
std::string Sent(const std::string& text) {
  sql::Parameters parameters;
  const absl::Status status = BindValue(Make(text), "value", &parameters);
  EXPECT_TRUE(status.ok()) << status;
  return parameters.is_null(0) ? "NULL" : std::string(parameters.value(0));
}

std::string Read(sql::Oid type, const TypeInfo& info, const std::string& text) {
  Value value;
  ReadValue(type, info, text, &value);
  return value.ShortDebugString();
}

TEST(ValueText, Scalars) {
  EXPECT_EQ(Sent(""), "NULL");
  EXPECT_EQ(Sent("boolean: true"), "t");
  EXPECT_EQ(Sent("integer: -9223372036854775808"), "-9223372036854775808");
  EXPECT_EQ(Sent("real: 0.1"), "0.1");
  EXPECT_EQ(Sent("real: -inf"), "-Infinity");
  EXPECT_EQ(Sent("real: nan"), "NaN");
  EXPECT_EQ(Sent("text: ''"), "");
  EXPECT_EQ(Sent("bytea: '\\000\\377'"), "\\x00ff");
  EXPECT_EQ(Sent("other { type: 'mood' text: 'calm' }"), "calm");
}

TEST(ValueText, Arrays) {
  EXPECT_EQ(Sent("array {}"), "{}");
  EXPECT_EQ(Sent("array { elements { integer: 1 } elements {} elements { text: 'a\\\\\"' } }"),
            R"({"1",NULL,"a\\\""})");
  EXPECT_EQ(Sent("array { elements { array { elements { integer: 1 } } } }"), R"({{"1"}})");
}

TEST(ValueText, WhatHasNoTextIsRefusedByItsPath) {
  sql::Parameters parameters;
  const absl::Status status = BindValue(Make("text: 'a\\000'"), "query.parameters[3]", &parameters);
  EXPECT_EQ(sql::Reason(status), "TEXT_CONTAINS_NUL");
  EXPECT_NE(std::string(status.message()).find("query.parameters[3]"), std::string::npos) << status;
}

TEST(ValueText, WhatIsReadHasTheKindOfItsType) {
  EXPECT_EQ(Read(16, {"boolean"}, "f"), "boolean: false");
  EXPECT_EQ(Read(23, {"integer"}, "-1"), "integer: -1");
  EXPECT_EQ(Read(701, {"double precision"}, "Infinity"), "real: inf");
  EXPECT_EQ(Read(17, {"bytea"}, "\\x6162"), "bytea: \"ab\"");
  // Whoever sets bytea_output in a transaction of his own.
  EXPECT_EQ(Read(17, {"bytea"}, "a\\\\b\\000c"), R"(bytea: "a\\b\000c")");
  EXPECT_EQ(Read(99999, {"mood"}, "calm"), R"(other { type: "mood" text: "calm" })");
}

TEST(ValueText, ArraysAreReadByTheirElements) {
  const TypeInfo texts = {"text[]", 25, "text"};
  EXPECT_EQ(Read(1009, texts, "{}"), "array { }");
  EXPECT_EQ(Read(1009, texts, R"({a,NULL,"NULL","b,\"c\\"})"),
            R"(array { elements { text: "a" } elements { } elements { text: "NULL" } )"
            R"(elements { text: "b,\"c\\" } })");
  EXPECT_EQ(Read(1007, {"integer[]", 23, "integer"}, "{{1},{2}}"),
            "array { elements { array { elements { integer: 1 } } } "
            "elements { array { elements { integer: 2 } } } }");
  EXPECT_EQ(Read(1007, {"integer[]", 23, "integer"}, "[0:0]={1}"),
            R"(other { type: "integer[]" text: "[0:0]={1}" })");
}

TEST(ValueText, RowsOfCopy) {
  data::v1::Row row;
  *row.add_values() = Make("integer: 1");
  row.add_values();
  *row.add_values() = Make("text: 'a\\tb\\nc\\\\d\\r'");
  std::string out;
  EXPECT_TRUE(AppendCopyRow(row, "rows[0]", &out).ok());
  EXPECT_EQ(out, "1\t\\N\ta\\tb\\nc\\\\d\\r\n");
}

}  // namespace
}  // namespace twi::repositories

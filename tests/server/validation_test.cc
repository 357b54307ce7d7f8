#include "server/validation.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <utility>

#include "google/rpc/error_details.pb.h"
#include "sql/errors.h"
#include "twi/test/v1/codec.pb.h"

namespace twi::server {
namespace {

using google::protobuf::TextFormat;
using test::v1::Checked;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

using FieldAndWords = std::pair<std::string, std::string>;

template <typename T>
T Parse(const std::string& text) {
  T message;
  EXPECT_TRUE(TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

google::rpc::BadRequest Details(const absl::Status& status) {
  google::rpc::BadRequest details;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  EXPECT_TRUE(payload.has_value() && details.ParseFromString(std::string(*payload))) << status;
  return details;
}

template <typename T>
absl::Status Check(T* request) {
  const Validator validator = Validator::Make(T::descriptor());
  EXPECT_THAT(validator.problems(), IsEmpty());
  return validator.Check(request);
}

/// Field and words of each violation, in order.
template <typename T>
std::vector<FieldAndWords> Violations(const std::string& text) {
  T request = Parse<T>(text);
  const absl::Status status = Check(&request);
  std::vector<FieldAndWords> violations;
  if (status.ok()) return violations;
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(sql::Reason(status), "FIELD_INVALID");
  const google::rpc::BadRequest details = Details(status);
  for (const auto& violation : details.field_violations()) {
    violations.emplace_back(violation.field(), violation.description());
  }
  return violations;
}

const std::string kRight = "id: 1 must: '' title: 'abc' index: 1 tags: 'a'";

/// What is wrong with a request that was right before `changes` were made to it.
std::vector<FieldAndWords> Wrong(const std::string& changes) {
  Checked request = Parse<Checked>(kRight);
  request.MergeFrom(Parse<Checked>(changes));
  return Violations<Checked>(request.DebugString());
}

TEST(Validator, RightIsRight) { EXPECT_THAT(Wrong(""), IsEmpty()); }

TEST(Validator, AllViolationsAtOnce) {
  EXPECT_THAT(
      Violations<Checked>(""),
      ElementsAre(Pair("id", "must be an id, which is greater than 0"), Pair("must", "must be set"),
                  Pair("title", "must have at least 2 characters, not 0"),
                  Pair("index", "must be at least 1"), Pair("tags", "must not be empty")));
}

TEST(Validator, TheMessageNamesTheFirst) {
  Checked request = Parse<Checked>("id: 1 must: '' index: 1 tags: 'a'");
  EXPECT_EQ(Check(&request).message(), "title must have at least 2 characters, not 0");
  request.set_index(10);
  EXPECT_EQ(Check(&request).message(), "title must have at least 2 characters, not 0 (and 1 more)");
}

TEST(Validator, Ids) {
  EXPECT_THAT(Wrong("id: -1"), ElementsAre(Pair("id", HasSubstr("greater than 0"))));
  EXPECT_THAT(Wrong("maybe_id: 0"), ElementsAre(Pair("maybe_id", HasSubstr("greater than 0"))));
  EXPECT_THAT(Wrong("maybe_id: 5"), IsEmpty());
  EXPECT_THAT(Wrong("ids: [1, 0, 2]"), ElementsAre(Pair("ids[1]", HasSubstr("greater than 0"))));
}

TEST(Validator, Numbers) {
  EXPECT_THAT(Wrong("index: 9"), IsEmpty());
  EXPECT_THAT(Wrong("index: 10"), ElementsAre(Pair("index", "must be at most 9")));
  EXPECT_THAT(Wrong("index: -1"), ElementsAre(Pair("index", "must be at least 1")));
  EXPECT_THAT(Wrong("ratio: 1"), IsEmpty());
  EXPECT_THAT(Wrong("ratio: 1.01"), ElementsAre(Pair("ratio", "must be at most 1")));
  EXPECT_THAT(Wrong("ratio: nan"),
              ElementsAre(Pair("ratio", "must be at least 0"), Pair("ratio", "must be at most 1")));
  EXPECT_THAT(Wrong("hash: 18446744073709551615"), ElementsAre(Pair("hash", "must be at most 10")));
}

TEST(Validator, Lengths) {
  EXPECT_THAT(Wrong("title: 'äöüßé'"), IsEmpty());
  EXPECT_THAT(Wrong("title: 'äöüßéé'"),
              ElementsAre(Pair("title", "must have at most 5 characters, not 6")));
  EXPECT_THAT(Wrong("title: 'a\\nb\\nc'"),
              ElementsAre(Pair("title", "must have at most 1 line feed")));
  EXPECT_THAT(Wrong("digest: 'äöü'"),
              ElementsAre(Pair("digest", "must have at most 4 bytes, not 6")));
  EXPECT_THAT(Wrong("ids: [1, 2, 3, 4]"),
              ElementsAre(Pair("ids", "must have at most 3 elements, not 4")));
  EXPECT_THAT(Violations<test::v1::Measured>("vector: [1, 2]"), IsEmpty());
  EXPECT_THAT(Violations<test::v1::Measured>("vector: [1]"),
              ElementsAre(Pair("vector", "must have at least 2 elements, not 1")));
  EXPECT_THAT(Violations<test::v1::Measured>(""),
              ElementsAre(Pair("vector", "must have at least 2 elements, not 0")));
}

TEST(Validator, UnknownEnumNumbers) {
  EXPECT_THAT(Wrong("mood: MOOD_VERY_SAD"), IsEmpty());
  EXPECT_THAT(Wrong("mood: 2"), ElementsAre(Pair("mood", "has no value 2")));
}

TEST(Validator, TrimsBeforeItLooks) {
  Checked request = Parse<Checked>(
      "id: 1 must: ' ' title: ' \\t\\n abc \\r\\n\\n' index: 1 tags: ' a ' tags: '  '");
  EXPECT_EQ(Check(&request).message(), "tags[1] must have at least 1 character, not 0");
  EXPECT_EQ(request.title(), "abc");
  EXPECT_EQ(request.tags(0), "a");
  EXPECT_EQ(request.must(), " ");
}

TEST(Validator, PageSizes) {
  const auto sizes = [](int page_size, int limit) {
    Checked request = Parse<Checked>(kRight);
    request.set_page_size(page_size);
    request.set_limit(limit);
    EXPECT_TRUE(Check(&request).ok());
    return std::pair(request.page_size(), request.limit());
  };
  EXPECT_EQ(sizes(0, 0), std::pair(100, 25));
  EXPECT_EQ(sizes(1, 1), std::pair(1, 1));
  EXPECT_EQ(sizes(1000, 50), std::pair(1000, 50));
  EXPECT_EQ(sizes(1001, 51), std::pair(1000, 50));
  EXPECT_THAT(Wrong("page_size: -1"), ElementsAre(Pair("page_size", "must not be negative")));
}

TEST(Validator, GoesDownIntoMessages) {
  EXPECT_THAT(Wrong("child { " + kRight + " } children { " + kRight + " }"), IsEmpty());
  EXPECT_THAT(Wrong("children { " + kRight + " } children { " + kRight + " child { " + kRight +
                    " ids: [1, -1] } }"),
              ElementsAre(Pair("children[1].child.ids[1]", HasSubstr("greater than 0"))));
}

TEST(Validator, RequiredOneofsHaveAMember) {
  using test::v1::Choices;
  EXPECT_THAT(Violations<test::v1::Chosen>(""), ElementsAre(Pair("which", "must be set")));
  EXPECT_THAT(Violations<test::v1::Chosen>("number: 0"),
              ElementsAre(Pair("number", HasSubstr("greater than 0"))));
  EXPECT_THAT(Violations<Choices>(""), IsEmpty());
  EXPECT_THAT(Violations<Choices>("one { text: '' } many { message {} } many { number: 1 }"),
              IsEmpty());
  EXPECT_THAT(Violations<Choices>("one { word: '' } many { number: 1 } many {}"),
              ElementsAre(Pair("one.which", "must be set"), Pair("many[1].which", "must be set")));
}

TEST(Validator, UpdateMasksNameFieldsThatAnUpdateSets) {
  using test::v1::UpdateResourceRequest;
  using test::v1::UpdateRowRequest;
  EXPECT_THAT(Violations<UpdateRowRequest>("id: 1 update_mask { paths: ['name', 'note', 'ids'] }"),
              IsEmpty());
  EXPECT_THAT(
      Violations<UpdateRowRequest>("id: 1 update_mask { paths: ['name', 'id'] }"),
      ElementsAre(Pair("update_mask", "must name fields that can be updated: name, note, ids")));
  EXPECT_THAT(Violations<UpdateRowRequest>("id: 1 update_mask { paths: 'update_mask' }"),
              ElementsAre(Pair("update_mask", HasSubstr("must name"))));
  EXPECT_THAT(Violations<test::v1::UpdateTitleRequest>("title: 'a' update_mask { paths: 'title' }"),
              ElementsAre(Pair("update_mask", "must name fields that can be updated: note")));
  EXPECT_THAT(Violations<UpdateResourceRequest>("id: 1 update_mask { paths: 'note' }"), IsEmpty());
  EXPECT_THAT(Violations<UpdateResourceRequest>("id: 1 update_mask { paths: 'row' }"),
              ElementsAre(Pair("update_mask", HasSubstr("must name"))));
  EXPECT_THAT(Violations<test::v1::BatchRequest>("requests { id: 1 update_mask { paths: 'x' } }"),
              ElementsAre(Pair("requests[0].update_mask", HasSubstr("must name"))));
}

TEST(Validator, DetailsFitIntoTrailers) {
  Checked request = Parse<Checked>(kRight);
  for (int i = 0; i < 1000; ++i) request.add_children()->set_id(-1);
  const absl::Status status = Check(&request);
  const auto details = Details(status);
  EXPECT_LT(details.ByteSizeLong(), 3072u);
  const int listed = details.field_violations_size() - 1;
  EXPECT_GT(listed, 20);
  EXPECT_EQ(details.field_violations(0).field(), "children[0].id");
  EXPECT_EQ(details.field_violations(listed).description(),
            std::to_string(5000 - listed) + " more violations are not listed");
  EXPECT_THAT(std::string(status.message()), HasSubstr("(and 4999 more)"));
}

TEST(Validator, RequestsWithoutRulesAreLeftAlone) {
  auto request = Parse<test::v1::Unchecked>("id: -1 text: ' x ' child { id: -2 }");
  const std::string before = request.DebugString();
  EXPECT_TRUE(Check(&request).ok());
  EXPECT_EQ(request.DebugString(), before);
}

TEST(Validator, RulesThatMeanNothingAreProblems) {
  const Validator validator = Validator::Make(test::v1::Misruled::descriptor());
  EXPECT_THAT(
      validator.problems(),
      ElementsAre("rule trim means nothing for field twi.test.v1.Misruled.id, which is "
                  "int64: take it away",
                  HasSubstr("rule page means nothing for field twi.test.v1.Misruled.name"),
                  HasSubstr("rule min_items means nothing for field twi.test.v1.Misruled.count")));
  auto request = Parse<test::v1::Misruled>("id: 1 name: 'x'");
  EXPECT_TRUE(validator.Check(&request).ok());
}

}  // namespace
}  // namespace twi::server

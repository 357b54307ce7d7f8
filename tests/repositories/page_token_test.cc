#include "repositories/page_token.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "sql/errors.h"
#include "twi/test/v1/codec.pb.h"

namespace twi::repositories {
namespace {

using test::v1::PageRequest;

constexpr char kOperation[] = "RowsService/ListRows";

PageRequest Parse(const std::string& text) {
  PageRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

PageToken Token() {
  PageToken token;
  token.key = {std::string("\0\1\xff", 3), "", std::string(300, 'k')};
  return token;
}

void ExpectInvalid(const absl::StatusOr<PageToken>& decoded) {
  EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(sql::Reason(decoded.status()), "PAGE_TOKEN_INVALID");
}

TEST(PageToken, ComesBackWhole) {
  const auto decoded = PageToken::Decode(Token().Encode(kOperation, 42), kOperation, 42, 3);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->key, Token().key);
}

TEST(PageToken, IsSafeInUrls) {
  const std::string token = Token().Encode(kOperation, 42);
  EXPECT_EQ(
      token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
      token.npos);
}

TEST(PageToken, BelongsToOneListAndItsArguments) {
  const std::string token = Token().Encode(kOperation, 42);
  ExpectInvalid(PageToken::Decode(token, "RowsService/ListOthers", 42, 3));
  ExpectInvalid(PageToken::Decode(token, kOperation, 43, 3));
  ExpectInvalid(PageToken::Decode(token, kOperation, 42, 2));
  ExpectInvalid(PageToken::Decode(token, kOperation, 42, 4));
}

TEST(PageToken, IsRefusedWhenDamaged) {
  const std::string token = Token().Encode(kOperation, 42);
  ExpectInvalid(PageToken::Decode("", kOperation, 42, 3));
  ExpectInvalid(PageToken::Decode("no token", kOperation, 42, 3));
  for (size_t i = 0; i < token.size(); ++i) {
    std::string changed = token;
    // The last digit holds bits that no byte has; another high bit always changes a byte.
    changed[i] = changed[i] == 'A' ? 'Q' : 'A';
    if (changed != token) ExpectInvalid(PageToken::Decode(changed, kOperation, 42, 3));
    ExpectInvalid(PageToken::Decode(token.substr(0, i), kOperation, 42, 3));
  }
}

TEST(HashArguments, IsOfEveryFieldButThePage) {
  const uint64_t hash = HashArguments(Parse("author: 'Erin'"));
  EXPECT_EQ(HashArguments(Parse("author: 'Erin' page_size: 7 page_token: 't' limit: 3")), hash);
  EXPECT_NE(HashArguments(Parse("author: 'Ryoka'")), hash);
  EXPECT_NE(HashArguments(Parse("author: 'Erin' filter {}")), hash);
}

// Tokens outlive the process and the release that gave them out.
TEST(HashArguments, IsTheSameEverywhere) {
  EXPECT_EQ(HashArguments(Parse("")), 0xcbf29ce484222325);
  EXPECT_EQ(HashArguments(Parse("author: 'Erin'")), HashArguments(Parse("author: 'Erin'")));
  PageRequest one;
  PageRequest other;
  for (int i = 0; i < 50; ++i) {
    (*one.mutable_filter()->mutable_fields())["k" + std::to_string(i)].set_number_value(i);
    (*other.mutable_filter()->mutable_fields())["k" + std::to_string(49 - i)].set_number_value(49 -
                                                                                               i);
  }
  EXPECT_EQ(HashArguments(one), HashArguments(other));
}

}  // namespace
}  // namespace twi::repositories

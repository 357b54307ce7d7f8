#include "server/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/match.h"

namespace twi::server {
namespace {

using ::testing::MatchesRegex;

// FIPS 180-2, appendix B.1.
constexpr char kOfAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

TEST(Digest, IsSha256) { EXPECT_EQ(Digest::Of("abc").ToString(), kOfAbc); }

TEST(Digest, IsReadInEitherCase) {
  EXPECT_EQ(Digest::Parse(kOfAbc).value(), Digest::Of("abc"));
  std::string upper = kOfAbc;
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(Digest::Parse(upper).value(), Digest::Of("abc"));
  EXPECT_FALSE(Digest::Parse(kOfAbc).value() == Digest::Of("abd"));
}

TEST(Digest, NothingElseIsRead) {
  const std::string digits = kOfAbc;
  for (const std::string& wrong : {std::string(), std::string("abc"), digits + "0",
                                   digits.substr(1), "x" + digits.substr(1)}) {
    const auto digest = Digest::Parse(wrong);
    ASSERT_EQ(digest.status().code(), absl::StatusCode::kInvalidArgument) << wrong;
    EXPECT_FALSE(!wrong.empty() && absl::StrContains(digest.status().message(), wrong));
  }
}

TEST(NewToken, IsAnotherEachTime) {
  std::set<std::string> tokens;
  for (int i = 0; i < 100; ++i) tokens.insert(NewToken());
  EXPECT_EQ(tokens.size(), 100U);
  for (const std::string& token : tokens) EXPECT_THAT(token, MatchesRegex("twi_[A-Za-z0-9_-]{32}"));
}

}  // namespace
}  // namespace twi::server

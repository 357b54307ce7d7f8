#include "sql/parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "sql/errors.h"

namespace twi::sql {
namespace {

using ::testing::HasSubstr;

TEST(Scan, GivesTokensWithTheirPlaces) {
  const auto tokens = Scan("select \"\xc3\xa9\", $1::\xc3\xa9 /* x */ : 'y'");
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  ASSERT_EQ(tokens->size(), 9u);
  const auto expect = [&](size_t i, size_t begin, size_t end, bool keyword) {
    EXPECT_EQ((*tokens)[i].begin, begin) << i;
    EXPECT_EQ((*tokens)[i].end, end) << i;
    EXPECT_EQ((*tokens)[i].keyword, keyword) << i;
  };
  expect(0, 0, 6, true);
  expect(1, 7, 11, false);
  expect(2, 11, 12, false);
  expect(3, 13, 15, false);
  expect(4, 15, 17, false);
  expect(5, 17, 19, false);
  expect(6, 20, 27, false);
  expect(7, 28, 29, false);
  expect(8, 30, 33, false);
  EXPECT_EQ((*tokens)[1].kind, Token::kIdentifier);
  EXPECT_EQ((*tokens)[2].kind, ',');
  EXPECT_EQ((*tokens)[3].kind, Token::kParameter);
  EXPECT_EQ((*tokens)[5].kind, Token::kIdentifier);
  EXPECT_EQ((*tokens)[6].kind, Token::kBlockComment);
  EXPECT_EQ((*tokens)[7].kind, ':');
}

TEST(Scan, FindsComments) {
  const auto tokens = Scan("/* x */ select -- '\n;--");
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  std::vector<bool> comments;
  for (const Token& token : *tokens) comments.push_back(token.comment());
  EXPECT_THAT(comments, ::testing::ElementsAre(true, false, true, false, true));
}

TEST(Scan, FindsNoTokensInNothing) {
  const auto tokens = Scan(" \n");
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_TRUE(tokens->empty());
}

TEST(Fingerprint, TellsStatementsNotConstants) {
  const std::string one = *Fingerprint("select a from t where b = 1");
  EXPECT_EQ(one.size(), 16u);
  EXPECT_EQ(*Fingerprint("SELECT a\nFROM t WHERE b = $1 -- again"), one);
  EXPECT_EQ(*Fingerprint("select a from t where b = 'x'"), one);
  EXPECT_NE(*Fingerprint("select a from u where b = 1"), one);
  EXPECT_NE(*Fingerprint("select a from t where c = 1"), one);
}

struct Refusal {
  std::string text;
  std::string message;
};

TEST(ParseTree, RefusesWhatIsNotSqlSayingWhere) {
  const std::vector<Refusal> refusals = {
      {"select from where", "syntax error at or near \"where\" (character 13)"},
      {"selec 1", "(character 1)"},
      {"select 1; garbage", "(character 11)"},
      {"\x01\x02", "not SQL"},
      {"select 'open", "unterminated quoted string"},
      {std::string("select 1\0; drop table t", 23), "zero byte"},
      {"select :a", "syntax error"},
      {"select " + std::string(30'000, '('), "memory exhausted"},
      {std::string(kMaxParsed + 1, ' '), "is not parsed"}};
  for (const Refusal& expected : refusals) {
    SCOPED_TRACE(expected.text.substr(0, 40));
    const absl::Status status = ParseTree(expected.text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(Reason(status), "INTERNAL");
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected.message));
    EXPECT_EQ(Fingerprint(expected.text).status(), status);
  }
}

TEST(ParseTree, IsMadeInManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([thread] {
      const std::string table = "t" + std::to_string(thread);
      for (int i = 0; i < 100; ++i) {
        const auto tree = ParseTree("select a from " + table);
        ASSERT_TRUE(tree.ok()) << tree.status();
        EXPECT_THAT(*tree, HasSubstr("\"relname\":\"" + table + "\""));
        EXPECT_FALSE(ParseTree("select a from from " + table).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace twi::sql

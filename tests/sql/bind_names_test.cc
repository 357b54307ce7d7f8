#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sql/errors.h"
#include "sql/statement.h"

namespace twi::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Case {
  std::string text;
  std::string bound;
  std::vector<std::string> names;
};

void ExpectBound(const std::vector<Case>& cases) {
  for (const Case& expected : cases) {
    SCOPED_TRACE(expected.text);
    const auto bound = BindNames(expected.text);
    ASSERT_TRUE(bound.ok()) << bound.status();
    EXPECT_EQ(bound->text, expected.bound);
    EXPECT_EQ(bound->names, expected.names);
  }
}

TEST(BindNames, TurnsNamesIntoNumbers) {
  ExpectBound(
      {{"", "", {}},
       {"select 1", "select 1", {}},
       {"select :a", "select $1", {"a"}},
       {"select :a, :b, :a", "select $1, $2, $1", {"a", "b"}},
       {"select :message.content", "select $1", {"message.content"}},
       {"limit :page.size;", "limit $1;", {"page.size"}},
       {"select :a.b.c_d9", "select $1", {"a.b.c_d9"}},
       // A name ends where spaces begin, and before what is no name.
       {"select :a .b, :a. b", "select $1 .b, $1. b", {"a"}},
       {"select (:a).*, :a.*", "select ($1).*, $1.*", {"a"}},
       // Keywords are names like others.
       {"select :select.from, :user, :time", "select $1, $2, $3", {"select.from", "user", "time"}},
       {"select :a::bigint, (:b)::text[]", "select $1::bigint, ($2)::text[]", {"a", "b"}},
       {"values (:a,:b),(:c,-:d)", "values ($1,$2),($3,-$4)", {"a", "b", "c", "d"}},
       {"where x=:a and y<>:b or z@>:c", "where x=$1 and y<>$2 or z@>$3", {"a", "b", "c"}},
       {"f(x => :a, y=>:b)", "f(x => $1, y=>$2)", {"a", "b"}},
       {"'x' = any(:update_mask)", "'x' = any($1)", {"update_mask"}},
       {":a", "$1", {"a"}},
       {"select '\xc3\xa9', :a -- \xc3\xa9\n, :b",
        "select '\xc3\xa9', $1 -- \xc3\xa9\n, $2",
        {"a", "b"}},
       {"select :a,:b,:c,:d,:e,:f,:g,:h,:i,:j,:k,:a",
        "select $1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$1",
        {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}}});
}

TEST(BindNames, TellsPlaceholdersFromSlices) {
  ExpectBound(
      {{"select a[1:2]", "select a[1:2]", {}},
       {"select a[lo:hi]", "select a[lo:hi]", {}},
       {"select a[lo : hi]", "select a[lo : hi]", {}},
       {"select a[lo: hi]", "select a[lo: hi]", {}},
       {"select a[1:n]", "select a[1:n]", {}},
       {"select a[$1:n]", "select a[$1:n]", {}},
       {"select a['1':n]", "select a['1':n]", {}},
       {"select a[\"Lo\":hi]", "select a[\"Lo\":hi]", {}},
       {"select a[f(x):hi]", "select a[f(x):hi]", {}},
       {"select a[b[1]:hi]", "select a[b[1]:hi]", {}},
       {"select a[lo::int:hi]", "select a[lo::int:hi]", {}},
       {"select a[case when true then 1 end:hi]", "select a[case when true then 1 end:hi]", {}},
       {"select a[\xc3\xa9:hi]", "select a[\xc3\xa9:hi]", {}},
       {"select a[: hi]", "select a[: hi]", {}},
       {"select a[:i]", "select a[$1]", {"i"}},
       {"select a[:lo : :hi]", "select a[$1 : $2]", {"lo", "hi"}},
       {"select a[:lo: :hi]", "select a[$1: $2]", {"lo", "hi"}},
       {"select a[:lo:hi]", "select a[$1:hi]", {"lo"}},
       {"select a[x + :lo:hi + :n]", "select a[x + $1:hi + $2]", {"lo", "n"}},
       {"select a[(:lo):(:hi)]", "select a[($1):($2)]", {"lo", "hi"}},
       {"select array[:a, :b]", "select array[$1, $2]", {"a", "b"}}});
}

TEST(BindNames, LeavesEverythingElseAlone) {
  ExpectBound({{"select a::text", "select a::text", {}},
               {"select ':a', E'\\':b', U&':c', b':d'", "select ':a', E'\\':b', U&':c', b':d'", {}},
               {"select ':a'':b'", "select ':a'':b'", {}},
               {"select \":a\", u&\":b\"", "select \":a\", u&\":b\"", {}},
               {"select 1 -- :a\n", "select 1 -- :a\n", {}},
               {"select /* :a /* :b */ :c */ 1", "select /* :a /* :b */ :c */ 1", {}},
               {"select $$:a$$, $q$ :b $$ :c $q$", "select $$:a$$, $q$ :b $$ :c $q$", {}},
               {"f(x := 1)", "f(x := 1)", {}},
               {"f(x :=:a)", "f(x :=$1)", {"a"}},
               {"select :\"a\"", "select :\"a\"", {}},
               {"select : a, :1", "select : a, :1", {}},
               {"select $1, $2", "select $1, $2", {}}});
}

TEST(BindNames, ReplacesFixedNamesByTheirTexts) {
  const auto bound = BindNames("where a = :a and :page.after limit :page.size",
                               {{"page.after", "true"}, {"unused", "?"}});
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_EQ(bound->text, "where a = $1 and true limit $2");
  EXPECT_THAT(bound->names, ElementsAre("a", "page.size"));
}

TEST(BindNames, BindsTheNamesWithinFixedTexts) {
  const auto bound = BindNames("where :page.after and a = :a limit :page.size",
                               {{"page.after", "(x, y) > (:page.x, :a)"}});
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_EQ(bound->text, "where (x, y) > ($1, $2) and a = $2 limit $3");
  EXPECT_THAT(bound->names, ElementsAre("page.x", "a", "page.size"));
}

TEST(BindNames, KeepsAFixedNameThatFixedTextsMention) {
  const auto bound = BindNames("select :a", {{"a", ":a + 1"}});
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_EQ(bound->text, "select $1 + 1");
}

TEST(BindNames, GivesArgumentsToTexts) {
  const std::vector<Insertion> parts = {
      {"part.rows",
       "select :key from :source t where :page.after or :key = ':key'",
       {"source", "key"}},
      {"part.plain", "f"}};
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"with q as (:part.rows(users u, f(u.a, u.b[1])) limit :n)",
       "with q as (select f(u.a, u.b[1]) from users u t where :page.after or f(u.a, u.b[1]) = "
       "':key' limit :n)"},
      // Names in arguments stay, and are not taken for parameters.
      {":part.rows( (select ':x, y' as key) , :source)",
       "select :source from (select ':x, y' as key) t where :page.after or :source = ':key'"},
      {":part.rows(a, :part.plain)", "select f from a t where :page.after or f = ':key'"},
      // A text without parameters is no call.
      {"select :part.plain(:a), :other(1)", "select f(:a), :other(1)"}};
  for (const auto& [text, inserted] : cases) {
    const auto told = Insert(text, parts);
    ASSERT_TRUE(told.ok()) << told.status();
    EXPECT_EQ(*told, inserted);
  }
  for (const char* text : {":part.rows", ":part.rows(a)", ":part.rows(a, b, c)", ":part.rows(a"}) {
    EXPECT_THAT(std::string(Insert(text, parts).status().message()),
                HasSubstr("write `:part.rows(source, key)`"))
        << text;
  }
}

TEST(BindNames, IsAsLongAsTheTextIs) {
  std::string text = "select 0";
  for (int i = 0; i < 100'000; ++i) text += ", :a";
  const auto bound = BindNames(text);
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_THAT(bound->names, ElementsAre("a"));
  EXPECT_TRUE(bound->text.ends_with(", $1, $1"));
}

struct Refusal {
  std::string text;
  std::string message;
};

TEST(BindNames, RefusesWhatCannotBeScannedSayingWhere) {
  const std::vector<Refusal> refusals = {
      {"select '\xc3\xa9', 'open", "unterminated quoted string"},
      {"select '\xc3\xa9', 'open", "(character 13)"},
      {"select \"open", "unterminated quoted identifier"},
      {"select /* open", "unterminated /* comment"},
      {"select $a$ open", "unterminated dollar-quoted string"},
      {"select 1x", "trailing junk after numeric literal"},
      {std::string("select :a\0, :b", 14), "zero byte"},
      {"select :a, $1", "names or numbers, not both: :a beside $n"}};
  for (const Refusal& expected : refusals) {
    SCOPED_TRACE(expected.text);
    const absl::Status status = BindNames(expected.text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(Reason(status), "INTERNAL");
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected.message));
  }
}

}  // namespace
}  // namespace twi::sql

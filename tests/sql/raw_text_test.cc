#include "sql/raw_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sql/errors.h"

namespace twi::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;

Dictionary SomeFunctions() {
  Dictionary dictionary;
  dictionary.functions["lower"] = {};
  dictionary.functions["random"] = {.changes = true};
  return dictionary;
}

TEST(RawTexts, KnowsWhatReadsOnly) {
  RawTexts texts({}, SomeFunctions());
  const auto reads_only = [&](const std::string& text) {
    return (*texts.Find(text))->statement.read_only;
  };
  EXPECT_TRUE(reads_only("select lower(v), current_date from t where id = $1"));
  EXPECT_FALSE(reads_only("select random()"));
  EXPECT_FALSE(reads_only("select somebodys(1)"));
  EXPECT_FALSE(reads_only("select * from t for update"));
  EXPECT_FALSE(reads_only("with d as (delete from t returning 1) select * from d"));
  EXPECT_FALSE(reads_only("insert into t values (1)"));
  EXPECT_FALSE(reads_only("select 1; select 2"));
}

TEST(RawTexts, WhatComesOftenIsNamed) {
  RawTexts texts({.kept = 3, .named = 2, .uses_of_named = 3}, {});
  const auto name = [&](const std::string& text) { return (*texts.Find(text))->statement.name; };
  EXPECT_EQ(name("select 1"), "");
  EXPECT_EQ(name("select 1"), "");
  const std::string first = name("select 1");
  EXPECT_NE(first, "");
  EXPECT_EQ(name("select 1"), first);
  // With other types it is another statement.
  EXPECT_EQ((*texts.Find("select 1", {20}))->statement.name, "");
  for (int i = 0; i < 3; ++i) name("select 2");
  EXPECT_NE(name("select 2"), first);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(name("select 3"), "");
  EXPECT_EQ(Reason(texts.Name(*texts.Find("select 3")).status()), "OVERLOADED");
  EXPECT_EQ((*texts.Name(*texts.Find("select 1")))->statement.name, first);
}

TEST(RawTexts, WhatIsUsedLeastRecentlyIsForgotten) {
  RawTexts texts({.kept = 2, .named = 0}, {});
  const auto one = *texts.Find("select 1");
  texts.Find("select 2").IgnoreError();
  EXPECT_EQ(*texts.Find("select 1"), one);
  texts.Find("select 3").IgnoreError();
  EXPECT_EQ(*texts.Find("select 1"), one);
  texts.Find("select 4").IgnoreError();
  texts.Find("select 5").IgnoreError();
  EXPECT_NE(*texts.Find("select 1"), one);
}

TEST(RawTexts, RefusesWhatIsNoStatement) {
  RawTexts texts({}, {});
  for (const char* text : {"selec 1", "", " -- nothing", "select 'x", ";"}) {
    EXPECT_EQ(Reason(texts.Find(text).status()), "SQL_INVALID") << text;
  }
  EXPECT_EQ(Reason(texts.Find("select 1" + std::string(70'000, ' ')).status()), "SQL_INVALID");
}

auto Is(const std::string& text, int line) {
  return ::testing::AllOf(Field(&ScriptStatement::text, text), Field(&ScriptStatement::line, line));
}

TEST(SplitScript, TellsWhereStatementsBegin) {
  const auto statements = SplitScript(
      "-- ;\n\nselect ';' ; /* ; */ ;\n  insert into t\nvalues ($$;$$);;\n"
      "create function f() returns int language sql begin atomic select 1; end");
  ASSERT_TRUE(statements.ok()) << statements.status();
  EXPECT_THAT(*statements,
              ElementsAre(Is("select ';' ", 3), Is("insert into t\nvalues ($$;$$)", 4),
                          Is("create function f() returns int language sql begin atomic select 1; "
                             "end",
                             6)));
  EXPECT_THAT(*SplitScript(" -- nothing"), ElementsAre());
  EXPECT_FALSE(SplitScript("select 'x").ok());
}

}  // namespace
}  // namespace twi::sql

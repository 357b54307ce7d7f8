#include "repositories/repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace twi::repositories {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

/// Parses a text without problems.
Repository Parse(const std::string& text) {
  std::vector<Problem> problems;
  Repository repository = Repository::Parse("things.sql", text, &problems);
  for (const Problem& problem : problems) ADD_FAILURE() << problem.line << ": " << problem.message;
  return repository;
}

/// The problems of a text, as `things.sql:7: message`.
std::vector<std::string> ProblemsOf(const std::string& text) {
  std::vector<Problem> problems;
  Repository::Parse("things.sql", text, &problems);
  std::vector<std::string> told;
  for (const Problem& problem : problems) {
    told.push_back(problem.file + ":" + std::to_string(problem.line) + ": " + problem.message);
  }
  return told;
}

TEST(Repository, IsStanzasInTheirOrder) {
  const Repository repository = Parse(
      "-- The things.\n"
      "\n"
      "-- name: GetThing\n"
      "select t.id\n"
      "from things t\n"
      "where t.id = :id;\n"
      "\n"
      "\n"
      "-- name: DeleteThing\n"
      "-- Whole, with all that hangs on it.\n"
      "\n"
      "-- none: OK\n"
      "\n"
      "  delete from things where id = :id returning 1  ;\n");
  EXPECT_EQ(repository.file, "things.sql");
  EXPECT_EQ(repository.stem, "things");
  ASSERT_EQ(repository.stanzas.size(), 2u);

  const Stanza& get = repository.stanzas[0];
  EXPECT_EQ(get.name, "GetThing");
  EXPECT_EQ(get.line, 3);
  EXPECT_EQ(get.text, "select t.id\nfrom things t\nwhere t.id = :id");
  EXPECT_EQ(get.text_line, 4);
  EXPECT_THAT(get.page, IsEmpty());
  EXPECT_FALSE(get.descending);
  EXPECT_EQ(get.none, "");

  const Stanza& remove = repository.stanzas[1];
  EXPECT_EQ(remove.name, "DeleteThing");
  EXPECT_EQ(remove.line, 9);
  EXPECT_EQ(remove.text, "delete from things where id = :id returning 1  ");
  EXPECT_EQ(remove.text_line, 14);
  EXPECT_EQ(remove.none, "OK");
}

TEST(Repository, ReadsTheKeysOfAPage) {
  const Repository repository = Parse(
      "-- name: A\n-- page: t.time, t.id\nselect 1;\n"
      "-- name: B\n-- page:  time desc ,id  desc \nselect 1;\n"
      "-- name: C\n-- page: id asc\nselect 1;\n");
  EXPECT_THAT(repository.stanzas[0].page, ElementsAre("t.time", "t.id"));
  EXPECT_FALSE(repository.stanzas[0].descending);
  EXPECT_THAT(repository.stanzas[1].page, ElementsAre("time", "id"));
  EXPECT_TRUE(repository.stanzas[1].descending);
  EXPECT_THAT(repository.stanzas[2].page, ElementsAre("id"));
  EXPECT_FALSE(repository.stanzas[2].descending);
}

TEST(Repository, RefusesPagesThatAreNoKeys) {
  EXPECT_THAT(ProblemsOf("-- name: A\n-- page: a desc, b\nselect 1;"),
              ElementsAre(HasSubstr("things.sql:2: the keys of `-- page:` go in different")));
  for (const std::string keys : {"a,", "a b", "a nulls last", ", a"}) {
    EXPECT_THAT(ProblemsOf("-- name: A\n-- page: " + keys + "\nselect 1;"),
                ElementsAre(HasSubstr("things.sql:2: `-- page: " + keys + "` is not a list")));
  }
}

TEST(Repository, KnowsWhatMayBeSaidOfNoRow) {
  for (const std::string none : {"OK", "NOT_FOUND", "ALREADY_EXISTS"}) {
    EXPECT_EQ(Parse("-- name: A\n-- none: " + none + "\nselect 1;").stanzas[0].none, none);
  }
  for (const std::string none : {" ok", " INTERNAL", ""}) {
    EXPECT_THAT(ProblemsOf("-- name: A\n-- none:" + none + "\nselect 1;"),
                ElementsAre(HasSubstr("things.sql:2: `-- none:")));
  }
}

TEST(Repository, ReadsProseAsProse) {
  const Repository repository = Parse(
      "-- name: A\n"
      "--\n"
      "-- Two things: one and another.\n"
      "--none: INTERNAL\n"
      "-- See https://example.org\n"
      "select 1;\n");
  EXPECT_EQ(repository.stanzas[0].none, "");
  EXPECT_EQ(repository.stanzas[0].text, "select 1");
  EXPECT_EQ(repository.stanzas[0].text_line, 6);
}

TEST(Repository, ReadsWhichTablesAreReadWhole) {
  const Repository repository = Parse(
      "-- name: A\n-- scan: things: they are few\n-- scan: more: all: each counts\nselect 1;\n");
  EXPECT_THAT(repository.stanzas[0].scans, ElementsAre("more", "things"));
  for (const std::string said : {"things", "things:", ": they are few", "things they are few"}) {
    EXPECT_THAT(ProblemsOf("-- name: A\n-- scan: " + said + "\nselect 1;"),
                ElementsAre(HasSubstr("things.sql:2: `-- scan: " + said + "` is not")));
  }
}

TEST(Repository, RefusesDirectivesThatItDoesNotKnow) {
  EXPECT_THAT(ProblemsOf("-- name: A\n-- pages: id\n-- nome: OK\nselect 1;"),
              ElementsAre(HasSubstr("things.sql:2: unknown directive `-- pages:`"),
                          HasSubstr("things.sql:3: unknown directive `-- nome:`")));
}

TEST(Repository, LeavesCommentsWithinAStatementAlone) {
  const Repository repository = Parse(
      "-- name: A\n"
      "select 1\n"
      "-- page: not a directive; here\n"
      "  -- none: OK\n"
      "\n"
      "from t; -- and then\n"
      ";\n");
  ASSERT_EQ(repository.stanzas.size(), 1u);
  EXPECT_EQ(repository.stanzas[0].text,
            "select 1\n-- page: not a directive; here\n  -- none: OK\n\nfrom t; -- and then\n");
  EXPECT_THAT(repository.stanzas[0].page, IsEmpty());
  EXPECT_EQ(repository.stanzas[0].none, "");
}

TEST(Repository, WantsASemicolonAtTheEnd) {
  EXPECT_THAT(ProblemsOf("-- name: A\nselect 1\n-- name: B\nselect 2;\n-- name: C\n"),
              ElementsAre("things.sql:1: A does not end with a semicolon: write one",
                          "things.sql:5: C does not end with a semicolon: write one"));
  for (const std::string open : {"select 1 -- ;", "select 1 /* ; */", "select 1; select 2"}) {
    EXPECT_THAT(ProblemsOf("-- name: A\n" + open + "\n-- Of B.\n-- name: B\nselect 2;"),
                ElementsAre("things.sql:1: A does not end with a semicolon: write one"))
        << open;
  }
}

TEST(Repository, TakesCommentsBehindTheSemicolon) {
  const Repository repository = Parse(
      "-- name: A\nselect ';' -- the; one\n; -- and; no more\n\n-- What follows.\n/* B; */\n"
      "-- name: B\nselect 2; /* two */ -- two\n");
  EXPECT_EQ(repository.stanzas[0].text, "select ';' -- the; one\n");
  EXPECT_EQ(repository.stanzas[1].text, "select 2");
}

TEST(Repository, RefusesDirectivesBehindTheStatement) {
  EXPECT_THAT(
      ProblemsOf("-- name: A\n-- Prose.\nselect\n1;\n-- none: OK\n\n-- page: a\n-- note: b\n"
                 "-- name: B\nselect 2; -- batch: id\n"),
      UnorderedElementsAre(
          "things.sql:5: `-- none:` stands behind the statement of A: move it above",
          "things.sql:7: `-- page:` stands behind the statement of A: move it above",
          "things.sql:10: `-- batch:` stands behind the statement of B: move it above"));
}

TEST(Repository, RefusesSqlThatHasNoName) {
  EXPECT_THAT(ProblemsOf("-- Prose.\n\nselect 1;\n-- name: A\nselect 1;\n"),
              ElementsAre("things.sql:3: SQL before the first `-- name:`"));
}

TEST(Repository, TakesEveryLineEnd) {
  const std::string lines =
      "-- name: A\n-- page: a desc\n\nselect 'x'\nfrom t;\n-- name: B\nselect 2;";
  std::string windows;
  for (char character : lines) windows += character == '\n' ? "\r\n" : std::string(1, character);
  const Repository expected = Parse(lines);
  const Repository repository = Parse(windows);
  ASSERT_EQ(repository.stanzas.size(), expected.stanzas.size());
  for (size_t i = 0; i < expected.stanzas.size(); ++i) {
    EXPECT_EQ(repository.stanzas[i].name, expected.stanzas[i].name);
    EXPECT_EQ(repository.stanzas[i].line, expected.stanzas[i].line);
    EXPECT_EQ(repository.stanzas[i].text, expected.stanzas[i].text);
    EXPECT_EQ(repository.stanzas[i].text_line, expected.stanzas[i].text_line);
    EXPECT_EQ(repository.stanzas[i].page, expected.stanzas[i].page);
  }
}

TEST(Repository, MayBeEmpty) {
  EXPECT_THAT(Parse("").stanzas, IsEmpty());
  EXPECT_THAT(Parse("\n\n-- Nothing yet.\n").stanzas, IsEmpty());
}

TEST(Repository, ReadsWhatSetsAreGatheredBy) {
  const Repository repository = Parse(
      "-- name: Save\n"
      "-- batch: message.guild_id , message.id\n"
      "select 1;\n"
      "-- name: Import\n"
      "-- stream: one transaction\n"
      "select 1;\n");
  EXPECT_THAT(repository.stanzas[0].batch, ElementsAre("message.guild_id", "message.id"));
  EXPECT_FALSE(repository.stanzas[0].one_transaction);
  EXPECT_THAT(repository.stanzas[1].batch, IsEmpty());
  EXPECT_TRUE(repository.stanzas[1].one_transaction);
  EXPECT_THAT(ProblemsOf("-- name: Import\n-- stream: many\nselect 1;\n"),
              ElementsAre("things.sql:2: `-- stream: many` is not `-- stream: one transaction`"));
}

TEST(Repository, KeepsPiecesThatStatementsShare) {
  const Repository repository = Parse(
      "-- part: things\n"
      "-- Those that are there.\n"
      "\n"
      "from things t\n"
      "where t.id = :id -- the one\n"
      "\n"
      "-- name: GetThing\n"
      "select t.id\n"
      ":part.things;\n"
      "-- part: more\n"
      "t.name\n");
  ASSERT_EQ(repository.stanzas.size(), 1u);
  EXPECT_EQ(repository.stanzas[0].text, "select t.id\n:part.things");
  ASSERT_EQ(repository.parts.size(), 2u);
  EXPECT_EQ(repository.parts[0].name, "things");
  EXPECT_EQ(repository.parts[0].line, 1);
  EXPECT_EQ(repository.parts[0].text, "from things t\nwhere t.id = :id -- the one\n");
  EXPECT_EQ(repository.parts[1].text, "t.name\n");
}

TEST(Repository, RefusesPartsThatAreMore) {
  EXPECT_THAT(ProblemsOf("-- part: a\n-- page: id\n-- none: OK\nfrom t;\n-- part: a\nfrom u\n"),
              ElementsAre("things.sql:2: `-- page:` in a part: say it of what is named",
                          "things.sql:3: `-- none:` in a part: say it of what is named",
                          "things.sql:1: part a ends with a semicolon: it is a piece",
                          "things.sql:5: a second part a: remove one"));
  EXPECT_THAT(ProblemsOf("-- part: a(b\n-- part: c()\n-- part: d(1)\n-- part: e(f g)\n"),
              ElementsAre("things.sql:1: `-- part: a(b` is not `-- part: x(a, b)`",
                          "things.sql:2: `-- part: c()` is not `-- part: x(a, b)`",
                          "things.sql:3: `-- part: d(1)` is not `-- part: x(a, b)`",
                          "things.sql:4: `-- part: e(f g)` is not `-- part: x(a, b)`"));
}

}  // namespace
}  // namespace twi::repositories

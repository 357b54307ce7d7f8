#include "repositories/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "proto/descriptor_names.h"
#include "repositories/postgres_types.h"
#include "sql/describe.h"
#include "sql/migrate.h"
#include "sql/stand_ins.h"
#include "tests/support/bot.h"
#include "tests/support/database.h"
#include "twi/test/v1/catalog.pb.h"

namespace twi::repositories {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr char kStanzas[] = R"(select 1;
-- name: Fine
select t.name from t where t.id = :id;

-- name: Syntax
select from where :id;

-- name: Two
select name from t where id = :id; select 1;

-- name: Utility
vacuum;

-- name: Star
select * from t where id = :id;

-- name: Session
select set_config('x.y', 'z', false) as name from t where id = :id;

-- name: Writes
update t set name = 'x' where id = :id returning name;

-- name: Locks
select name from t where id = :id for update;

-- name: CachedWrite
update t set name = 'x' where id = :id returning name;

-- name: NoColumn
select name -- ——————————————————————————————— its name
from t
where no_such_column = :id;

-- name: UnknownField
select name from t where id = :idd;

-- name: UnusedField
select name from t limit 1;

-- name: WrongParameter
select name from t where name = :id limit 1;

-- name: WrongColumn
select id as name from t where id = :id;

-- name: MissingColumn
select id as title from t where id = :id;

-- name: LeftoverColumn
select id, name from t where id = :id;

-- name: Streams
select name from t where id = :id;

-- name: PageWithoutKeys
select name from t where :page.after order by name limit :page.size;

-- name: PageWithoutLimit
-- page: name
select name from t where :page.after order by name;

-- name: PageByNull
-- page: nick
select nick, name from t where :page.after order by nick limit :page.size;

-- name: PageByNothing
-- page: id
select name from t where :page.after order by id limit :page.size;

-- name: PageThatWrites
-- page: id, name desc
select id, name from t where :page.after order by id, name limit :page.size;

-- name: ANameThatIsMuchTooLongEvenForAPreparedStatement
-- none: PERHAPS
-- cached: 5
select name from t where id = :id

-- name: Nobody
select name from t where id = :id;

-- name: Fine
select name from t where id = :id;

-- name: PageOfANameThatIsMuchTooLongForASecondPage
-- page: name, id
-- scan: u: it is small
select name, id from t where :page.after order by name, id limit :page.size;
)";

constexpr char kProblems[] = R"(
catalog.sql:1: SQL before the first `-- name:`
catalog.sql:1: no stanza for rpc Missing: add `-- name: Missing`
catalog.sql:5: Syntax: not SQL: syntax error at or near "where" (character 13)
catalog.sql:8: Two: holds 2 statements: write one, with common table expressions
catalog.sql:8: Two: the database refuses it: cannot insert multiple commands into a prepared statement
catalog.sql:11: Utility: is none of select, insert, update, delete, merge: a shared connection runs no other
catalog.sql:14: Star: selects `*`: name the columns
catalog.sql:14: Star: column id fills no field of Name: leave it out or add the field
catalog.sql:14: Star: column nick fills no field of Name: leave it out or add the field
catalog.sql:17: Session: calls set_config(), which changes the connection that others share
catalog.sql:20: Writes: is declared NO_SIDE_EFFECTS and writes: take the option from the rpc, or the effect from the SQL
catalog.sql:23: Locks: is declared NO_SIDE_EFFECTS and locks rows: take the option from the rpc, or the effect from the SQL
catalog.sql:26: CachedWrite: has a cache policy and is not declared NO_SIDE_EFFECTS
catalog.sql:29: NoColumn: the database refuses it: column "no_such_column" does not exist (line 32)
catalog.sql:34: UnknownField: placeholder :idd is no field: ById has no idd; did you mean id?
catalog.sql:34: UnknownField: nothing in the SQL uses the field id of ById: write `:id`, or remove it
catalog.sql:37: UnusedField: nothing in the SQL uses the field id of ById: write `:id`, or remove it
catalog.sql:40: WrongParameter: field id is int64 but the statement takes text: cast it, :id::bigint
catalog.sql:43: WrongColumn: column name is bigint but field Name.name is string: cast it, name::text
catalog.sql:46: MissingColumn: field Name.name has no column: select a text as name
catalog.sql:46: MissingColumn: column title fills no field of Name: leave it out or add the field
catalog.sql:49: LeftoverColumn: column id fills no field of Name: leave it out or add the field
catalog.sql:52: Streams: streams in, which needs a statement over `:requests`
catalog.sql:52: Streams: streams in, so that Name.name is a sum: make it int64
catalog.sql:55: PageWithoutKeys: `:page.…` without a `-- page:` line that names the keys
catalog.sql:58: PageWithoutLimit: a page needs `where … :page.after` and `limit :page.size`
catalog.sql:62: PageByNull: its key nick may be NULL: pages would lose such rows, say coalesce(nick, ...)
catalog.sql:66: PageByNothing: does not select its key id: select it as it is there
catalog.sql:70: PageThatWrites: lists pages and is not declared NO_SIDE_EFFECTS
catalog.sql:71: the keys of `-- page:` go in different directions: a row comparison has one for all
catalog.sql:74: ANameThatIsMuchTooLongEvenForAPreparedStatement does not end with a semicolon: write one
catalog.sql:74: ANameThatIsMuchTooLongEvenForAPreparedStatement: `CatalogService/ANameThatIsMuchTooLongEvenForAPreparedStatement` is longer than 60 bytes, which prepared statements can be named by
catalog.sql:75: `-- none: PERHAPS` is none of OK, NOT_FOUND, ALREADY_EXISTS
catalog.sql:76: unknown directive `-- cached:`; there are name, part, batch, none, page, scan, stream
catalog.sql:79: CatalogService has no rpc Nobody: add it to twi/test/v1/catalog.proto, or rename the stanza
catalog.sql:82: a second stanza Fine: remove one
catalog.sql:85: PageOfANameThatIsMuchTooLongForASecondPage: `CatalogService/PageOfANameThatIsMuchTooLongForASecondPage` is longer than 56 bytes, which prepared statements can be named by
catalog.sql:85: PageOfANameThatIsMuchTooLongForASecondPage: has a `-- scan:` line of u, which it does not read
other.sql:1: no service in other.proto: add it, or remove this file
)";

class CatalogTest : public ::testing::Test {
 protected:
  Catalog::Loaded Load(const std::vector<EmbeddedText>& files) {
    auto loaded = Catalog::Load(
        database_.dsn(), files,
        {twi::test::v1::Name::descriptor()->file()->FindServiceByName("CatalogService")});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return *std::move(loaded);
  }

  testing::Database database_;
};

TEST_F(CatalogTest, EveryMistakeIsToldAtOnceWithItsPlace) {
  database_.Run("create table t (id bigint primary key, name text not null, nick text)");
  const Catalog::Loaded loaded = Load({{"catalog.sql", kStanzas}, {"other.sql", ""}});
  EXPECT_EQ(loaded.catalog, nullptr);
  std::vector<Problem> problems = loaded.problems;
  std::ranges::stable_sort(problems, {},
                           [](const Problem& p) { return std::pair(p.file, p.line); });
  std::string told = "\n";
  for (const Problem& problem : problems) {
    absl::StrAppend(&told, problem.file, ":", problem.line, ": ", problem.message, "\n");
  }
  EXPECT_EQ(told, kProblems);
}

TEST_F(CatalogTest, MistakesOfPartsAreTold) {
  database_.Run("create table t (id bigint primary key, name text not null)");
  const Catalog::Loaded loaded = Load({{"catalog.sql",
                                        "-- part: unused\n"
                                        "from t\n"
                                        "-- part: rows\n"
                                        "from t\n"
                                        "where no_such_column = :id\n"
                                        "-- part: of(key)\n"
                                        "from t where :key = :id\n"
                                        "-- name: Fine\n"
                                        "select t.name\n"
                                        ":part.rows;\n"
                                        "-- name: NoColumn\n"
                                        "select t.name :part.of(no_such_key);\n"
                                        "-- name: UnusedField\n"
                                        "select t.name :part.of;\n"
                                        "-- name: UnknownField\n"
                                        "select name from t where id = :id and :part.row;\n"}});
  std::vector<std::string> told;
  for (const Problem& problem : loaded.problems) {
    if (problem.message.starts_with("no stanza for rpc")) continue;
    told.push_back(absl::StrCat(problem.line, ": ", problem.message));
  }
  EXPECT_THAT(
      told, UnorderedElementsAre(
                "1: nothing uses part unused: write `:part.unused`, or remove it",
                "8: Fine: the database refuses it: column \"no_such_column\" does not exist "
                "(`where no_such_column = $1`)",
                "11: NoColumn: the database refuses it: column \"no_such_key\" does not exist "
                "(`select t.name from t where no_such_key = $1`)",
                "13: UnusedField: :part.of has 0 arguments: write `:part.of(key)`",
                "15: UnknownField: placeholder :part.row is no field: ById has no part, only id"));
}

TEST_F(CatalogTest, PartsOfOtherFilesHaveTheirNames) {
  database_.Run("create table t (id bigint primary key, name text not null)");
  const Catalog::Loaded loaded =
      Load({{"catalog.sql",
             "-- part: rows\n"
             "from t\n"
             "-- name: Fine\n"
             "select t.name\n"
             ":part.rows\n"
             ":part.other.rows;\n"
             "-- name: UnknownField\n"
             "select name from t where id = :id and :part.catalog.rows;\n"},
            {"other.sql",
             "-- part: rows\n"
             "where t.id = :id\n"
             "-- part: unused\n"
             "from t\n"}});
  std::vector<std::string> told;
  for (const Problem& problem : loaded.problems) {
    if (problem.message.starts_with("no stanza for rpc")) continue;
    told.push_back(absl::StrCat(problem.file, ":", problem.line, ": ", problem.message));
  }
  EXPECT_THAT(told,
              UnorderedElementsAre(
                  "catalog.sql:7: UnknownField: placeholder :part.catalog.rows is no field: ById "
                  "has no part, "
                  "only id",
                  "other.sql:1: no service in other.proto: add it, or remove this file",
                  "other.sql:3: nothing uses part unused: write `:part.unused`, or remove it"));
}

TEST_F(CatalogTest, AServiceWithoutAFileIsTold) {
  const Catalog::Loaded loaded = Load({});
  ASSERT_EQ(loaded.problems.size(), 1u);
  EXPECT_EQ(loaded.problems[0].file, "catalog.sql");
  EXPECT_THAT(loaded.problems[0].message, HasSubstr("the file is missing"));
}

TEST_F(CatalogTest, WhatIsWrittenByHandHasNoStanza) {
  const auto* admin = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
      "twi.data.v1.AdminService");
  ASSERT_NE(admin, nullptr);
  auto loaded = Catalog::Load(
      database_.dsn(), {{"admin.sql", "-- name: GetPool\nselect 1;\n-- name: Cancel\nselect 1;"}},
      {admin});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::vector<std::string> problems;
  for (const Problem& problem : loaded->problems) problems.push_back(problem.message);
  EXPECT_THAT(
      problems,
      UnorderedElementsAre(
          "GetPool is written by hand: remove the stanza",
          "AdminService has no rpc Cancel: add it to twi/data/v1/admin.proto, or rename the "
          "stanza",
          "no stanza for rpc CancelStatement: add `-- name: CancelStatement`",
          "no stanza for rpc ListRunningStatements: add `-- name: ListRunningStatements`",
          "no stanza for rpc ListTableSizes: add `-- name: ListTableSizes`"));
}

TEST_F(CatalogTest, ADatabaseThatIsNotThereIsUnavailable) {
  EXPECT_EQ(Catalog::Load("host=/nonexistent", kRepositories, DataServices()).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(CatalogTest, TheOperationsFitTheMigrations) {
  auto migrations = sql::Migrations::Load(database_.dsn());
  ASSERT_TRUE(migrations.ok());
  ASSERT_TRUE(migrations->Up([](const sql::MigrationStep&) {}).ok());
  auto loaded = Catalog::Load(database_.dsn(), kRepositories, DataServices());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  for (const auto* all : {&loaded->problems, &loaded->warnings}) {
    for (const Problem& problem : *all) {
      ADD_FAILURE() << problem.file << ":" << problem.line << ": " << problem.message;
    }
  }
  ASSERT_NE(loaded->catalog, nullptr);
  for (const auto& operation : loaded->catalog->operations()) {
    EXPECT_THAT(operation->analysis().reads.size() + operation->analysis().writes.size(),
                ::testing::Gt(0u))
        << operation->name();
    if (operation->name() != "QuotesService/CreateQuote") continue;
    EXPECT_THAT(operation->analysis().writes, ElementsAre("quotes"));
    EXPECT_FALSE(operation->read_only());
  }
}

TEST_F(CatalogTest, WhatAnswersSeveralCallersAnswersAsTheStatementForOne) {
  auto migrations = sql::Migrations::Load(database_.dsn());
  ASSERT_TRUE(migrations.ok());
  ASSERT_TRUE(migrations->Up([](const sql::MigrationStep&) {}).ok());
  const auto loaded = Catalog::Load(database_.dsn(), kRepositories, DataServices());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::vector<const sql::Statement*> statements;
  std::vector<std::string> texts;
  for (const auto& operation : loaded->catalog->operations()) {
    const sql::Statement& one = operation->statement();
    if (one.several == nullptr) continue;
    statements.push_back(&one);
    texts.push_back(one.text);
    texts.push_back(one.several->text);
  }
  EXPECT_GT(statements.size(), 30u);
  const auto described = sql::Describe(database_.dsn(), texts, sql::StandIns());
  ASSERT_TRUE(described.ok()) << described.status();
  for (size_t i = 0; i < statements.size(); ++i) {
    SCOPED_TRACE(statements[i]->name);
    const sql::Described& one = (*described)[2 * i];
    const sql::Described& several = (*described)[2 * i + 1];
    ASSERT_EQ(several.error.message, "");
    EXPECT_EQ(statements[i]->types, one.description.parameters);
    std::vector<sql::Oid> elements;
    std::ranges::transform(several.description.parameters, std::back_inserter(elements),
                           ElementType);
    EXPECT_EQ(elements, statements[i]->types);
    std::vector<std::pair<std::string, sql::Oid>> wanted;
    std::vector<std::pair<std::string, sql::Oid>> columns;
    for (const auto& column : one.description.columns)
      wanted.emplace_back(column.name, column.type);
    for (const auto& column : several.description.columns) {
      columns.emplace_back(column.name, column.type);
    }
    wanted.emplace_back(sql::kCallColumn, kInt8);
    EXPECT_EQ(columns, wanted);
  }
}

TEST_F(CatalogTest, TheOperationsFitAnAdoptedDatabase) {
  testing::Database bots;
  testing::MakeBots(bots, {"schema", "rows", "optimizations"});
  auto migrations = sql::Migrations::Load(bots.dsn());
  ASSERT_TRUE(migrations.ok());
  ASSERT_TRUE(migrations->Up([](const sql::MigrationStep&) {}).ok());
  auto loaded = Catalog::Load(bots.dsn(), kRepositories, DataServices());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->problems, ::testing::IsEmpty());
  EXPECT_THAT(loaded->warnings, ::testing::IsEmpty());
}

}  // namespace
}  // namespace twi::repositories

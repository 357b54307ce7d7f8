#include "server/migrate_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sysexits.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "sql/embedded_text.h"
#include "tests/support/bot.h"
#include "tests/support/database.h"

namespace twi::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

Outcome Migrate(const std::string& dsn, const std::vector<std::string>& arguments) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = MigrateCommand([&] { return dsn; }, arguments, out, err);
  return {code, out.str(), err.str()};
}

TEST(MigrateCommandTest, GoesUpAndDownALineAStep) {
  testing::Database database;
  const std::string& dsn = database.dsn();
  const std::string last = std::to_string(kMigrations.size());

  EXPECT_THAT(Migrate(dsn, {"history"}).out,
              HasSubstr("0001_quotes                      not applied"));
  const Outcome up = Migrate(dsn, {"up"});
  EXPECT_EQ(up.code, EX_OK) << up.err;
  EXPECT_THAT(up.out,
              MatchesRegex("up   0001_quotes +[0-9.]+ ms\nup   0002_messages +[0-9.]+ ms\n.*"));
  EXPECT_EQ(Migrate(dsn, {"up"}).out, "nothing to do\n");
  EXPECT_EQ(Migrate(dsn, {"current"}).out, last + "\n");
  EXPECT_THAT(Migrate(dsn, {"history"}).out,
              MatchesRegex("0001_quotes +[0-9]+-[0-9]+-[0-9]+T[0-9:]+Z  [0-9.]+ ms\n.*"));

  EXPECT_EQ(Migrate(dsn, {"to", "1"}).code, EX_OK);
  EXPECT_EQ(Migrate(dsn, {"current"}).out, "1\n");
  EXPECT_THAT(Migrate(dsn, {"down", "1"}).out, MatchesRegex("down 0001_quotes +[0-9.]+ ms\n"));
  EXPECT_EQ(Migrate(dsn, {"current"}).out, "0\n");
}

TEST(MigrateCommandTest, CheckIsDataErrorWhenTheSchemaDiffers) {
  testing::Database database;
  const std::string& dsn = database.dsn();
  EXPECT_EQ(Migrate(dsn, {"check"}).code, EX_DATAERR);
  ASSERT_EQ(Migrate(dsn, {"up"}).code, EX_OK);
  EXPECT_EQ(Migrate(dsn, {"check"}).code, EX_OK);
  database.Run("alter table quotes drop author");
  const Outcome check = Migrate(dsn, {"check"});
  EXPECT_EQ(check.code, EX_DATAERR);
  EXPECT_EQ(check.out, "column quotes.author is missing\n");
}

TEST(MigrateCommandTest, ADraftIsTheDifferenceAsStatements) {
  testing::Database database;
  const std::string& dsn = database.dsn();
  ASSERT_EQ(Migrate(dsn, {"up"}).code, EX_OK);
  EXPECT_EQ(Migrate(dsn, {"check", "--sql"}).code, EX_OK);
  EXPECT_THAT(Migrate(dsn, {"check", "--sql"}).out, IsEmpty());
  database.Run("alter table quotes drop author; alter table quotes add hat text");
  const Outcome check = Migrate(dsn, {"check", "--sql"});
  EXPECT_EQ(check.code, EX_DATAERR);
  EXPECT_EQ(check.out,
            "-- column quotes.author is missing\n"
            "-- column quotes.hat is there, and no migration makes it\n"
            "alter table quotes\n  add author text;\n"
            "-- It holds data: alter table quotes drop hat;\n");
}

TEST(MigrateCommandTest, CheckNotesWhatIsSomebodyElses) {
  testing::Database database;
  const std::string& dsn = database.dsn();
  ASSERT_EQ(Migrate(dsn, {"up"}).code, EX_OK);
  database.Run("create table extra (id bigint)");
  const Outcome check = Migrate(dsn, {"check"});
  EXPECT_EQ(check.code, EX_OK);
  EXPECT_EQ(check.out,
            "note: table extra is there, and no migration makes it\n"
            "the schema is what the migrations make\n");
}

TEST(MigrateCommandTest, ARefusalIsADataErrorInTheDatabasesWords) {
  testing::Database database;
  database.Run("create sequence quotes");
  const Outcome up = Migrate(database.dsn(), {"up"});
  EXPECT_EQ(up.code, EX_DATAERR);
  EXPECT_THAT(up.out, IsEmpty());
  EXPECT_THAT(up.err, HasSubstr("0001_quotes"));
  EXPECT_THAT(up.err, HasSubstr("relation \"quotes\" already exists"));
}

TEST(MigrateCommandTest, AnAdoptionTellsWhatItDidAndWhichRowsItRejected) {
  testing::Database database;
  testing::MakeBots(database, {"schema"});
  database.Run(
      "insert into thread_membership (user_id, thread_id) values (1, 2), (1, 2), (null, 2)");
  const std::string& dsn = database.dsn();
  const Outcome up = Migrate(dsn, {"up"});
  EXPECT_EQ(up.code, EX_OK) << up.err;
  EXPECT_THAT(up.out,
              MatchesRegex("adopt missing tables +[0-9.]+ ms\n"
                           "adopt columns +[0-9.]+ ms\n.*"
                           "1 of thread_membership went to twi_data_rejected: an earlier row .*\n"
                           "1 of thread_membership went to twi_data_rejected: user_id is null\n"));
  EXPECT_EQ(Migrate(dsn, {"check"}).out, "the schema is what the migrations make\n");
  EXPECT_EQ(Migrate(dsn, {"up"}).out, "nothing to do\n");
}

TEST(MigrateCommandTest, UpMakesWhatTheCacheFollowsChangesBy) {
  testing::Database database;
  const std::string published =
      "select count(*) from pg_publication_tables where pubname = 'twi_data'";
  ASSERT_EQ(Migrate(database.dsn(), {"to", "1"}).code, EX_OK);
  EXPECT_EQ(database.Value(published), "1");
  ASSERT_EQ(Migrate(database.dsn(), {"up"}).code, EX_OK);
  EXPECT_NE(database.Value(published), "1");
  database.Run("drop publication twi_data");
  EXPECT_EQ(Migrate(database.dsn(), {"up"}).out, "nothing to do\n");
  EXPECT_NE(database.Value(published), "0");
}

TEST(MigrateCommandTest, WhatTheRoleMayNotMakeIsNoted) {
  testing::Database database;
  ASSERT_EQ(Migrate(database.dsn(), {"up"}).code, EX_OK);
  const std::string role = database.Value("select 'owner_of_' || current_database()");
  database.Run("drop publication twi_data; create role " + role +
               " login; grant pg_read_all_data to " + role);
  const Outcome up = Migrate(database.dsn() + " user=" + role, {"up"});
  EXPECT_EQ(up.code, EX_OK) << up.err;
  EXPECT_THAT(up.out, HasSubstr("note: there is no publication of changes: "));
  EXPECT_THAT(up.out, HasSubstr("note: there is no outbox of changes: "));
  database.Run("drop owned by " + role + "; drop role " + role);
}

TEST(MigrateCommandTest, NoDatabaseIsUnavailable) {
  for (const char* command : {"up", "current", "history", "check"}) {
    const Outcome outcome = Migrate("host=/nonexistent dbname=x", {command});
    EXPECT_EQ(outcome.code, EX_UNAVAILABLE);
    EXPECT_THAT(outcome.err, HasSubstr("/nonexistent"));
  }
}

TEST(MigrateCommandTest, WrongArgumentsAreUsage) {
  testing::Database database;
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {"sideways"},
           {"up", "1"},
           {"down"},
           {"down", "one"},
           {"down", "0"},
           {"down", "1"},
           {"to"},
           {"to", "9999"},
           {"to", "-1"},
           {"new"},
           {"new", "../Evil"},
       }) {
    const Outcome outcome = Migrate(database.dsn(), arguments);
    EXPECT_EQ(outcome.code, EX_USAGE) << ::testing::PrintToString(arguments);
    EXPECT_FALSE(outcome.err.empty());
  }
}

TEST(MigrateCommandTest, NewBeginsTheNextMigration) {
  const fs::path before = fs::current_path();
  std::string tree = ::testing::TempDir() + "/new_migration.XXXXXX";
  ASSERT_NE(mkdtemp(tree.data()), nullptr);
  fs::current_path(tree);
  EXPECT_EQ(Migrate("", {"new", "polls"}).code, EX_NOINPUT);
  fs::create_directories("sql/migrations");
  std::ofstream("sql/migrations/0007_old.sql") << "-- up\n";
  const Outcome outcome = Migrate("", {"new", "polls"});
  EXPECT_EQ(outcome.code, EX_OK) << outcome.err;
  EXPECT_EQ(outcome.out, "sql/migrations/0008_polls.sql\n");
  std::stringstream text;
  text << std::ifstream("sql/migrations/0008_polls.sql").rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("\n-- up\n\n-- down\n"));
  fs::current_path(before);
  fs::remove_all(tree);
}

}  // namespace
}  // namespace twi::server

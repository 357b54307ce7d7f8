#include "server/upkeep_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sysexits.h>

#include <sstream>

#include "sql/migrate.h"
#include "tests/support/database.h"

namespace twi::server {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

struct Outcome {
  int code;
  std::string out;
  std::string err;
};

Outcome RunCommand(const std::string& dsn, const std::vector<std::string>& words) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = UpkeepCommand([&] { return dsn; }, words, out, err);
  return {code, out.str(), err.str()};
}

void Migrate(const testing::Database& database) {
  auto migrations = sql::Migrations::Load(database.dsn());
  ASSERT_TRUE(migrations.ok()) << migrations.status();
  ASSERT_TRUE(migrations->Up({}).ok());
}

TEST(UpkeepCommandTest, EachStepIsALine) {
  testing::Database database;
  Migrate(database);
  const Outcome first = RunCommand(database.dsn(), {"optimize", "base"});
  EXPECT_EQ(first.code, EX_OK) << first.err;
  EXPECT_THAT(
      first.out,
      AllOf(ContainsRegex("\nserved    idx_messages_channel_id +[0-9.]+ ms  by idx_messages_channel"
                          "_created\n"),
            ContainsRegex("\nmade      daily_member_stats +[0-9.]+ ms\n"),
            ContainsRegex("\nthere     autovacuum_messages +[0-9.]+ ms\n"),
            Not(HasSubstr("nothing to do"))));
  const Outcome second = RunCommand(database.dsn(), {"optimize", "base"});
  EXPECT_EQ(second.code, EX_OK) << second.err;
  EXPECT_THAT(second.out, AllOf(Not(HasSubstr("made")), ::testing::EndsWith("\nnothing to do\n")));

  EXPECT_EQ(RunCommand(database.dsn(), {"optimize", "additional"}).code, EX_OK);
  EXPECT_THAT(RunCommand(database.dsn(), {"refresh-views"}).out,
              MatchesRegex("(refreshed [a-z_]+ +[0-9.]+ ms\n){6}"));
  database.Run(
      "analyze; update pg_index set indisvalid = false"
      " where indexrelid = 'idx_reactions_date'::regclass");
  EXPECT_THAT(RunCommand(database.dsn(), {"maintain"}).out,
              HasSubstr("rebuilt   idx_reactions_date"));
}

TEST(UpkeepCommandTest, AFailedStepIsADataError) {
  testing::Database database;
  Migrate(database);
  const Outcome refresh = RunCommand(database.dsn(), {"refresh-views"});
  EXPECT_EQ(refresh.code, EX_DATAERR);
  EXPECT_THAT(refresh.out, MatchesRegex("(failed    [a-z_]+ +[0-9.]+ ms  there is no such "
                                        "materialized view: `twi-data optimize` makes it\n){6}"));
  EXPECT_EQ(refresh.err, "twi-data refresh-views: 6 steps failed\n");
}

TEST(UpkeepCommandTest, MissingMigrationsAreADataError) {
  testing::Database database;
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"optimize", "base"}, {"refresh-views"}, {"maintain"}}) {
    const Outcome outcome = RunCommand(database.dsn(), words);
    EXPECT_EQ(outcome.code, EX_DATAERR);
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_THAT(outcome.err,
                MatchesRegex("twi-data [a-z-]+: the schema lacks [0-9]+ migrations: run "
                             "`twi-data migrate up`\n"));
  }
}

TEST(UpkeepCommandTest, NoDatabaseIsUnavailable) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"optimize", "base"}, {"refresh-views"}, {"maintain"}}) {
    const Outcome outcome = RunCommand("host=/nonexistent dbname=x", words);
    EXPECT_EQ(outcome.code, EX_UNAVAILABLE);
    EXPECT_THAT(outcome.err, HasSubstr("/nonexistent"));
  }
}

TEST(UpkeepCommandTest, WrongWordsAreUsage) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"optimize"},
           {"optimize", "everything"},
           {"optimize", "base", "additional"},
           {"refresh-views", "now"},
           {"maintain", "base"},
       }) {
    // No database is asked for.
    std::ostringstream out;
    std::ostringstream err;
    const auto open = []() -> absl::StatusOr<std::string> {
      ADD_FAILURE();
      return "";
    };
    EXPECT_EQ(UpkeepCommand(open, words, out, err), EX_USAGE) << ::testing::PrintToString(words);
    EXPECT_THAT(err.str(), HasSubstr("usage: twi-data optimize base|additional"));
  }
}

}  // namespace
}  // namespace twi::server

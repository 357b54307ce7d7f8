// Whom an adoption leaves alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sql/migrate.h"
#include "tests/support/bot.h"
#include "tests/support/database.h"

namespace twi::sql {
namespace {

using testing::Database;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Migrations Load(const Database& database) {
  auto migrations = Migrations::Load(database.dsn());
  EXPECT_TRUE(migrations.ok()) << migrations.status();
  return *std::move(migrations);
}

/// A database that is not the bot's, and what is said of it.
struct Stranger {
  const char* change;  ///< To the bot's.
  const char* words;
};

void PrintTo(const Stranger& stranger, std::ostream* out) { *out << stranger.change; }

class AdoptionStrangerTest : public ::testing::TestWithParam<Stranger> {};

TEST_P(AdoptionStrangerTest, IsLeftAlone) {
  Database database;
  testing::MakeBots(database, {"schema", "rows"});
  database.Run(GetParam().change);
  const std::string before =
      database.Value("select count(*) || ' ' || sum(oid::bigint) from pg_class where oid >= 16384");
  const absl::Status status = Load(database).Up({});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().words));
  EXPECT_EQ(
      database.Value("select count(*) || ' ' || sum(oid::bigint) from pg_class where oid >= 16384"),
      before);
  EXPECT_EQ(database.Value("select to_regnamespace('twi_data_adoption') is null"), "t");
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, AdoptionStrangerTest,
    ::testing::Values(
        Stranger{"drop table messages cascade", "there is no table messages"},
        Stranger{"drop table users, servers, messages cascade",
                 "there is no table users, there is no table servers, there is no table messages"},
        Stranger{"alter table messages drop jump_url", "messages has no column jump_url"},
        Stranger{"alter table messages alter created_at type text",
                 "messages.created_at is text, not timestamp without time zone"},
        Stranger{"alter table links alter guild_id type varchar",
                 "links.guild_id is character varying, not bigint"},
        Stranger{"drop table updates; create view updates as select 1 as serial_id",
                 "updates is no table"},
        Stranger{"create view names as select username from users",
                 "views read the bot's tables and are not the bot's: names"}));

TEST(AdoptionRefusedTest, ItIsWholeOrNotAtAll) {
  Database database;
  testing::MakeBots(database, {"schema"});
  const absl::Status status = Load(database).To(1, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("migrate up"));
}

TEST(AdoptionRefusedTest, TablesOfOtherNamesAreNoneOfItsBusiness) {
  Database database;
  database.Run("create table recipes (id bigint primary key)");
  ASSERT_TRUE(Load(database).Up({}).ok());
  EXPECT_THAT(Load(database).Check()->differences, IsEmpty());
  EXPECT_EQ(database.Value("select to_regclass('twi_data_rejected') is null"), "t");
}

}  // namespace
}  // namespace twi::sql

#include "sql/migrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_replace.h"
#include "tests/support/database.h"

namespace twi::sql {
namespace {

using testing::Database;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<EmbeddedText> kPeople = {
    {"0001_people.sql", R"(-- Who there is.
-- up
create table people (id bigserial primary key, name text not null default 'nobody');
create index people_name on people (name);
-- down
drop table people;
)"},
    {"0002_pets.sql", R"(-- up
create table pets (
  id bigint primary key,
  owner bigint not null constraint pets_owner references people (id),
  size integer,
  age integer,
  large boolean generated always as (size > 10) stored
);
create index pets_large on pets (large);
create view pet_names as select pets.id, people.name from pets join people on people.id = owner;
create function pet_count() returns bigint language sql as $$ select count(*) from pets $$;
create function keep() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger sizing before update on pets for each row execute function keep();
create sequence tickets;
-- down
drop sequence tickets;
drop function pet_count();
drop view pet_names;
drop table pets;
drop function keep();
)"},
};

Migrations Load(const Database& database, const std::vector<EmbeddedText>& texts) {
  auto migrations = Migrations::Load(database.dsn(), texts);
  EXPECT_TRUE(migrations.ok()) << migrations.status();
  return *std::move(migrations);
}

std::vector<EmbeddedText> First(int count) { return {kPeople.begin(), kPeople.begin() + count}; }

/// The steps a call reported, `+name` or `-name`.
struct Steps {
  std::vector<std::string> names;
  Migrations::Report report() {
    return [this](const MigrationStep& step) {
      EXPECT_GT(step.duration, absl::ZeroDuration());
      names.push_back((step.kind == MigrationStep::Kind::kDown ? "-" : "+") + step.name);
    };
  }
};

TEST(MigrateTest, UpAppliesWhatIsMissingOnce) {
  Database database;
  Steps first;
  ASSERT_TRUE(Load(database, First(1)).Up(first.report()).ok());
  EXPECT_THAT(first.names, ElementsAre("+0001_people"));

  const Migrations migrations = Load(database, kPeople);
  EXPECT_EQ(migrations.Latest(), 2);
  EXPECT_EQ(migrations.Pending().value(), 1);
  Steps second;
  ASSERT_TRUE(migrations.Up(second.report()).ok());
  EXPECT_THAT(second.names, ElementsAre("+0002_pets"));
  EXPECT_EQ(migrations.Pending().value(), 0);
  Steps third;
  ASSERT_TRUE(migrations.Up(third.report()).ok());
  EXPECT_THAT(third.names, IsEmpty());
  EXPECT_EQ(database.Value("select pet_count()"), "0");
}

TEST(MigrateTest, HistoryTellsWhatWasAppliedWhen) {
  Database database;
  const Migrations migrations = Load(database, kPeople);
  EXPECT_THAT(migrations.History().value(), IsEmpty());
  EXPECT_EQ(migrations.Current().value(), 0);
  ASSERT_TRUE(migrations.Up({}).ok());

  const std::vector<AppliedMigration> history = migrations.History().value();
  ASSERT_EQ(history.size(), 2u);
  EXPECT_EQ(history[1].number, 2);
  EXPECT_EQ(history[1].name, "0002_pets");
  EXPECT_GT(history[1].duration, absl::ZeroDuration());
  EXPECT_LT(absl::AbsDuration(absl::Now() - history[1].applied_at), absl::Minutes(1));
}

TEST(MigrateTest, DownUndoesTheLast) {
  Database database;
  const Migrations migrations = Load(database, kPeople);
  ASSERT_TRUE(migrations.Up({}).ok());
  Steps steps;
  ASSERT_TRUE(migrations.Down(1, steps.report()).ok());
  EXPECT_THAT(steps.names, ElementsAre("-0002_pets"));
  EXPECT_EQ(migrations.Current().value(), 1);
  EXPECT_EQ(database.Value("select to_regclass('pets') is null"), "t");
  EXPECT_EQ(migrations.Down(2, {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(migrations.Down(0, {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(migrations.Current().value(), 1);
}

TEST(MigrateTest, ToGoesBothWays) {
  Database database;
  const Migrations migrations = Load(database, kPeople);
  Steps steps;
  ASSERT_TRUE(migrations.To(1, steps.report()).ok());
  ASSERT_TRUE(migrations.To(2, steps.report()).ok());
  ASSERT_TRUE(migrations.To(0, steps.report()).ok());
  EXPECT_THAT(steps.names, ElementsAre("+0001_people", "+0002_pets", "-0002_pets", "-0001_people"));
  EXPECT_EQ(migrations.Current().value(), 0);
  EXPECT_EQ(migrations.To(3, {}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(migrations.To(-1, {}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(MigrateTest, AFailedMigrationLeavesNothing) {
  Database database;
  std::vector<EmbeddedText> texts = kPeople;
  texts.push_back({"0003_broken.sql",
                   "-- up\ncreate table half (id bigint);\nselect 1 / 0;\n-- down\nselect 1;\n"});
  const Migrations migrations = Load(database, texts);
  Steps steps;
  const absl::Status status = migrations.Up(steps.report());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("0003_broken"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("division by zero"));
  EXPECT_THAT(steps.names, ElementsAre("+0001_people", "+0002_pets"));
  EXPECT_EQ(migrations.Current().value(), 2);
  EXPECT_EQ(database.Value("select to_regclass('half') is null"), "t");
}

TEST(MigrateTest, TwoUpsAtOnceApplyEachOnce) {
  Database database;
  std::vector<EmbeddedText> texts = kPeople;
  // Long enough for both to be there before either is done.
  texts.push_back({"0003_slow.sql", "-- up\nselect pg_sleep(0.3);\n-- down\nselect 1;\n"});
  const Migrations migrations = Load(database, texts);
  Steps steps[2];
  absl::Status statuses[2];
  std::thread other([&] { statuses[1] = migrations.Up(steps[1].report()); });
  statuses[0] = migrations.Up(steps[0].report());
  other.join();
  EXPECT_TRUE(statuses[0].ok()) << statuses[0];
  EXPECT_TRUE(statuses[1].ok()) << statuses[1];
  EXPECT_EQ(steps[0].names.size() + steps[1].names.size(), 3u);
  EXPECT_EQ(migrations.Current().value(), 3);
}

TEST(MigrateTest, AChangedMigrationIsNamed) {
  Database database;
  ASSERT_TRUE(Load(database, kPeople).Up({}).ok());
  std::vector<EmbeddedText> texts = kPeople;
  texts[0].text = "-- up\ncreate table people (id bigint);\n-- down\ndrop table people;\n";
  const Migrations migrations = Load(database, texts);
  for (const absl::Status& status : {migrations.Up({}), migrations.Down(1, {}),
                                     migrations.Check().status(), migrations.Pending().status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("0001_people was changed"));
  }
}

TEST(MigrateTest, CommentsAndWayDownMayChange) {
  Database database;
  ASSERT_TRUE(Load(database, First(1)).Up({}).ok());
  std::string text = "-- Other words.\n" + std::string(kPeople[0].text) + "select 1;\n";
  EXPECT_EQ(Load(database, {{"0001_people.sql", text}}).Pending().value(), 0);
}

TEST(MigrateTest, ANewerDatabaseIsLeftAlone) {
  Database database;
  ASSERT_TRUE(Load(database, kPeople).Up({}).ok());
  const Migrations old = Load(database, First(1));
  for (const absl::Status& status : {old.Up({}), old.To(0, {}), old.Pending().status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("newer than this program"));
  }
  EXPECT_EQ(Load(database, kPeople).Current().value(), 2);
}

TEST(MigrateTest, AnotherHistoryIsLeftAlone) {
  Database database;
  ASSERT_TRUE(Load(database, First(1)).Up({}).ok());
  const absl::Status status = Load(database, {{"0001_others.sql", kPeople[0].text}}).Up({});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("0001_people where 0001_others"));
}

TEST(MigrateTest, NoDatabaseIsUnavailable) {
  auto migrations = Migrations::Load("host=/nonexistent dbname=x", kPeople);
  ASSERT_TRUE(migrations.ok());
  EXPECT_EQ(migrations->Up({}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(migrations->Current().status().code(), absl::StatusCode::kUnavailable);
}

TEST(MigrateTest, ALostConnectionIsUnavailable) {
  Database database;
  const Migrations migrations =
      Load(database, {{"0001_suicide.sql",
                       "-- up\ncreate table half (id bigint);"
                       "select pg_terminate_backend(pg_backend_pid());\n-- down\nselect 1;\n"}});
  EXPECT_EQ(migrations.Up({}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(migrations.Current().value(), 0);
  EXPECT_EQ(database.Value("select to_regclass('half') is null"), "t");
}

TEST(MigrateTest, TextsThatAreNoMigrationsAreRefused) {
  const std::string_view good = "-- up\nselect 1;\n-- down\nselect 1;\n";
  EXPECT_TRUE(Migrations::Load("", {{"0001_a.sql", good}}).ok());
  for (const EmbeddedText& text : std::vector<EmbeddedText>{
           {"first.sql", good},
           {"1_a.sql", good},
           {"0002_a.sql", good},
           {"0001_a.sql", "-- up\nselect 1;\n"},
           {"0001_a.sql", "select 1;\n-- down\nselect 1;\n"},
       }) {
    EXPECT_EQ(Migrations::Load("", {text}).status().code(), absl::StatusCode::kInternal)
        << text.name << "\n"
        << text.text;
  }
}

TEST(MigrateTest, CheckNamesWhatIsNotApplied) {
  Database database;
  ASSERT_TRUE(Load(database, First(1)).Up({}).ok());
  EXPECT_THAT(Load(database, kPeople).Check()->differences,
              ElementsAre("migration 0002_pets is not applied"));
}

struct Drift {
  const char* change;
  const char* sentence;  ///< A part of the one difference told.
};

void PrintTo(const Drift& drift, std::ostream* out) { *out << drift.change; }

class MigrateDriftTest : public ::testing::TestWithParam<Drift> {};

TEST_P(MigrateDriftTest, IsTold) {
  Database database;
  const Migrations migrations = Load(database, kPeople);
  ASSERT_TRUE(migrations.Up({}).ok());
  ASSERT_THAT(migrations.Check()->differences, IsEmpty());
  database.Run(GetParam().change);
  const SchemaCheck check = migrations.Check().value();
  EXPECT_THAT(check.differences, ElementsAre(HasSubstr(GetParam().sentence)));
  EXPECT_THAT(check.foreign, IsEmpty());
  EXPECT_EQ(database.Value("select to_regnamespace('twi_data_check') is null"), "t");

  // The draft mends it, with what it leaves to its reader.
  database.Run(absl::StrReplaceAll(check.draft, {{"-- It holds data: ", ""}}));
  EXPECT_THAT(migrations.Check()->differences, IsEmpty()) << check.draft;
  EXPECT_THAT(migrations.Check()->draft, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, MigrateDriftTest,
    ::testing::Values(
        Drift{"alter table pets set unlogged", "table pets is `unlogged`"},
        Drift{"alter table people add hat text",
              "column people.hat is there, and no migration makes it"},
        Drift{"alter table pets drop age", "column pets.age is missing"},
        Drift{"alter table pets alter age type smallint",
              "column pets.age is `smallint`, it should be `integer`"},
        Drift{"alter table people alter name drop not null",
              "column people.name is `text default 'nobody'::text`"},
        Drift{"alter table people alter name drop default",
              "column people.name is `text not null`"},
        Drift{"alter table pets alter large drop expression", "column pets.large is `boolean`"},
        Drift{"alter table pets drop constraint pets_owner",
              "constraint pets_owner of table pets is missing"},
        Drift{"alter table people add constraint named check (name <> '')",
              "constraint named of table people is there"},
        Drift{"drop index people_name", "index people_name is missing"},
        Drift{"drop index people_name; create index people_name on people (lower(name))",
              "lower(name)"},
        Drift{"create index people_twice on people (name)", "index people_twice is there"},
        Drift{"update pg_index set indisvalid = false where indexrelid = 'people_name'::regclass",
              "(invalid)"},
        Drift{"drop sequence tickets", "sequence tickets is missing"},
        Drift{"alter sequence tickets increment 2", "increment 2"},
        Drift{"create or replace view pet_names as select pets.id, 'x' || name as name"
              " from pets join people on people.id = owner",
              "view pet_names is"},
        Drift{"create or replace function pet_count() returns bigint language sql as 'select "
              "7::int8'",
              "function pet_count() is"},
        Drift{"drop trigger sizing on pets", "trigger sizing of table pets is missing"},
        Drift{"alter table pets disable trigger sizing", "(disabled)"}));

TEST(MigrateTest, ADraftMakesWhatIsMissing) {
  Database database;
  const Migrations migrations = Load(database, kPeople);
  ASSERT_TRUE(migrations.Up({}).ok());
  database.Run(R"(
      insert into people values (7, 'Erin');
      insert into pets values (1, 7, 20, 3);
      alter table pets drop constraint pets_owner;
      drop view pet_names;
      create table kept as select * from people;
      drop table people)");
  const SchemaCheck missing = migrations.Check().value();
  EXPECT_THAT(missing.differences,
              ElementsAre("constraint pets_owner of table pets is missing",
                          "table people is missing", "view pet_names is missing"));
  // Whoever runs a draft completes it: here with the rows.
  database.Run(absl::StrReplaceAll(missing.draft, {{"alter table pets validate",
                                                    "insert into people select * from kept;"
                                                    "alter table pets validate"}}));
  EXPECT_THAT(migrations.Check()->differences, IsEmpty());
  EXPECT_EQ(database.Value("select name from pet_names"), "Erin");
}

TEST(MigrateTest, ADraftsNewSequenceGoesOnBehindTheRows) {
  Database database;
  const Migrations migrations = Load(database, kPeople);
  ASSERT_TRUE(migrations.Up({}).ok());
  database.Run("insert into people values (7); drop sequence people_id_seq cascade");
  database.Run(migrations.Check()->draft);
  EXPECT_THAT(migrations.Check()->differences, IsEmpty());
  EXPECT_EQ(database.Value("insert into people default values returning id"), "8");
}

TEST(MigrateTest, WhatStandsAloneIsSomebodyElses) {
  Database database;
  const Migrations migrations = Load(database, kPeople);
  ASSERT_TRUE(migrations.Up({}).ok());
  database.Run(R"(
      create table extra (id bigserial primary key, name text);
      create index extra_name on extra (name);
      create view extra_names as select name from extra;
      create materialized view extra_counts as select count(*) as count from extra;
      create index extra_counts_count on extra_counts (count);
      create function extra_one() returns int language sql as 'select 1';
      create sequence extra_numbers;
      create table twi_data_something (id bigint))");
  const SchemaCheck check = migrations.Check().value();
  EXPECT_THAT(check.differences, IsEmpty());
  EXPECT_THAT(check.draft, IsEmpty());
  EXPECT_THAT(check.foreign,
              ElementsAre("function extra_one() is there, and no migration makes it",
                          "materialized view extra_counts is there, and no migration makes it",
                          "sequence extra_numbers is there, and no migration makes it",
                          "table extra is there, and no migration makes it",
                          "view extra_names is there, and no migration makes it"));
}

TEST(MigrateTest, ExtensionsAreNotDrift) {
  Database database;
  const Migrations migrations = Load(database, kPeople);
  ASSERT_TRUE(migrations.Up({}).ok());
  database.Run("create extension pg_trgm; create extension pg_stat_statements");
  EXPECT_THAT(migrations.Check()->differences, IsEmpty());
}

}  // namespace
}  // namespace twi::sql

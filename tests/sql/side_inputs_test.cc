#include "sql/side_inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "sql/dependencies.h"
#include "sql/publication.h"
#include "tests/support/database.h"

namespace twi::sql {
namespace {

using ::testing::HasSubstr;

class SideInputsTest : public ::testing::Test {
 protected:
  SideInputsTest() {
    database_.Run(
        "create table event (id bigint primary key, at timestamptz, day date, said text, facts "
        "jsonb);"
        "create table note (id bigint primary key, day text);"
        "create view notes as select id, day::date as on_day from note;"
        "create view events as select id, at::date as day from event;"
        "create function same(text, text) returns boolean immutable language sql as"
        "  'select $1 = $2';"
        "create operator === (function = same, leftarg = text, rightarg = text);"
        "create type mood as enum ('sad', 'ok')");
    EXPECT_TRUE(PreparePublication(database_.dsn()).ok());
  }

  /// Why answers of somebody's text are not kept; "" when they are.
  std::string Refusal(const std::string& text, bool raw = true) {
    const auto all = FindDependencies(database_.dsn(), {{.name = "", .text = text, .raw = raw}},
                                      ChangesFrom::kStream);
    EXPECT_TRUE(all.ok()) << all.status();
    return all.ok() ? all->each.at(0).flaw : "";
  }

  testing::Database database_;
};

TEST_F(SideInputsTest, WhatDependsOnRowsOnlyIsKept) {
  for (const char* text : {
           "select * from event where id = $1",
           "select at::date, day::timestamptz from event",
           "select (at + interval '1 day')::date, date(at) from event",
           "select date_trunc('day', at at time zone 'UTC')::date from event",
           "select day from events where id = $1",
           "select * from event where at > $1::timestamptz and at < "
           "'2026-11-27'::text::timestamptz",
           "select id::text, said::int4, facts::text, said::interval from event",
           "select 'ok'::mood, $1::mood from event",
           "select * from event where said = 'nowhere' or said = 'know'",
           "select id, count(*) over () from event order by day desc limit 5",
       }) {
    EXPECT_EQ(Refusal(text), "") << text;
  }
}

TEST_F(SideInputsTest, WhatMayDependOnTheClockIsNot) {
  const std::string text_column = "it makes a time of what may be text";
  for (const auto& [text, why] : std::vector<std::pair<std::string, std::string>>{
           {"select said::date from event", text_column},
           {"select date(said) from event", text_column},
           {"select said::text::timestamptz from event", text_column},
           {"select day::date from note", text_column},
           {"select n.day::date from note n join event e using (id)", text_column},
           {"select on_day from notes", text_column},
           {"select x.day::date from (select said as day from event) x", "it makes a time of day"},
           {"select x.day::date from (select said from event) x (day)", "it makes a time of day"},
           {"with x (day) as (select said from event) select x.day::date from x, event e",
            "it makes a time of day"},
           {"select day::date from event, unnest(array['a']) u", "it makes a time of day"},
           {"select (facts ->> 'day')::date from event", "it casts to date"},
           {"select (said || '')::date from event", "it casts to date"},
           {"select date(said || '') from event", "it casts to date"},
           {"select coalesce(said, '')::time from event", "it casts to time"},
           {"select said::tstzrange from event", "it casts to tstzrange"},
           {"select said::mood from event", "it casts to mood"},
           {"select * from event where at > 'Yesterday 04:00'", "it names a time that moves"},
           {"select * from event where at > E'\\x6eow'", "it names a time that moves"},
           {"select 'today'::date from event", "now() depends on more than the tables"},
           {"select x.d from event, jsonb_to_record(facts) x (d date)",
            "jsonb_to_record() cannot be looked into"},
           {"select x.d from event, xmltable('/a' passing (said::xml) columns d date) x",
            "XMLTABLE cannot be looked into"},
       }) {
    EXPECT_THAT(Refusal(text), HasSubstr(why)) << text;
    EXPECT_NE(Refusal(text), "") << text;
  }
}

TEST_F(SideInputsTest, NeitherIsWhatMayDependOnMore) {
  EXPECT_EQ(Refusal("select ctid from event"), "it asks for ctid");
  EXPECT_EQ(Refusal("select e.xmax from event e"), "it asks for xmax");
  EXPECT_EQ(Refusal("select id from event where said === 'a'"), "=== cannot be looked into");
  EXPECT_NE(Refusal("select id from event tablesample system (50)"), "");
}

TEST_F(SideInputsTest, OnesOwnStatementsAreTrusted) {
  EXPECT_EQ(Refusal("select (facts ->> 'day')::date from event", /*raw=*/false), "");
}

TEST(NamesMovingTime, FindsWords) {
  for (const char* value :
       {"now", " NOW ", "Today", "yesterday 04:05", "{tomorrow,epoch}", "x now"}) {
    EXPECT_TRUE(NamesMovingTime(value)) << value;
  }
  for (const char* value : {"", "snow", "knows", "2026-11-27", "infinity", "yesterdays"}) {
    EXPECT_FALSE(NamesMovingTime(value)) << value;
  }
}

}  // namespace
}  // namespace twi::sql

#include "sql/optimization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace twi::sql {
namespace {

using Kind = Optimization::Kind;
using ::testing::HasSubstr;

TEST(OptimizationTest, StepsAreWhatTheirStatementsAre) {
  const auto steps = ReadOptimizations({"some.sql", R"(-- What this is for.
-- step: by_name
-- People by name.
create index by_name on people (name);

-- step: lately
-- recent: 7 days
create index lately on people (born) where born >= :cutoff;

-- step: names
create materialized view names as select name, ';' as mark from people with no data;
create unique index names_key on names (name);

-- step: count_people
create function count_people() returns bigint language sql as $$ select count(*) from people; $$;

-- step: vacuum
alter table people set (autovacuum_vacuum_scale_factor = 0.1);
)"});
  ASSERT_TRUE(steps.ok()) << steps.status();
  ASSERT_EQ(steps->size(), 5u);
  const auto& [index, recent, view, function, settings] =
      std::tie((*steps)[0], (*steps)[1], (*steps)[2], (*steps)[3], (*steps)[4]);
  EXPECT_EQ(index.name, "by_name");
  EXPECT_EQ(index.kind, Kind::kIndex);
  EXPECT_EQ(index.table, "people");
  EXPECT_EQ(index.text, "-- People by name.\ncreate index by_name on people (name);");
  EXPECT_EQ(index.recent_days, 0);
  EXPECT_EQ(recent.recent_days, 7);
  EXPECT_THAT(recent.text, HasSubstr("create index lately"));
  EXPECT_EQ(view.kind, Kind::kView);
  EXPECT_THAT(view.text, HasSubstr("names_key"));
  EXPECT_EQ(function.kind, Kind::kFunction);
  EXPECT_EQ(settings.kind, Kind::kSettings);
  EXPECT_EQ(settings.table, "people");
}

TEST(OptimizationTest, WhatIsNoStepIsRefused) {
  for (const char* text : {
           "-- step: a\n",
           "-- step: a\nselect 1;\n",
           "-- step: a\ncreate index b on people (name);\n",
           "-- step: a\ncreate index a on people (name); create index b on people (name);\n",
           "-- step: a\ncreate index a on;\n",
           "-- step: a\ncreate materialized view a as select 1;\n",
           "-- step: a\ncreate table a as select 1;\n",
           "-- step: a\ncreate materialized view a as select 1 as n with no data;\n"
           "create index b on other (n);\n",
           "-- step: a\nalter table people add hat text;\n",
           "-- step: a\n-- recent: some days\ncreate index a on people (name);\n",
           "-- step: a\n-- recent: 0 days\ncreate index a on people (name);\n",
           "-- step: a\n-- recent: 7 days\nalter table people set (fillfactor = 90);\n",
       }) {
    const auto steps = ReadOptimizations({"some.sql", text});
    EXPECT_EQ(steps.status().code(), absl::StatusCode::kInternal) << text;
    EXPECT_THAT(std::string(steps.status().message()), HasSubstr("some.sql")) << text;
  }
}

TEST(OptimizationTest, AnIndexIsMadeConcurrentlyUnderAnyName) {
  const auto steps = ReadOptimizations({"some.sql",
                                        "-- step: lately\n-- recent: 7 days\n"
                                        "-- An index on (of) people.\n"
                                        "create index lately on people (born)\n"
                                        "where note <> ':cutoff' and born >= :cutoff;\n"});
  ASSERT_TRUE(steps.ok()) << steps.status();
  EXPECT_EQ(Concurrently(steps->front(), "\"lately_next\"", "2026-11-01 00:00:00"),
            "-- An index on (of) people.\n"
            "create index concurrently \"lately_next\" on people (born)\n"
            "where note <> ':cutoff' and born >= timestamp '2026-11-01 00:00:00';");
}

TEST(OptimizationTest, OursAreStepsOfDifferentNames) {
  std::set<std::string> names;
  for (const EmbeddedText& set : kOptimizations) {
    const auto steps = ReadOptimizations(set);
    ASSERT_TRUE(steps.ok()) << steps.status();
    EXPECT_FALSE(steps->empty());
    for (const Optimization& step : *steps) {
      EXPECT_TRUE(names.insert(step.name).second) << step.name;
    }
  }
}

}  // namespace
}  // namespace twi::sql

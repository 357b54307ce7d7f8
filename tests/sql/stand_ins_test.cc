#include "sql/stand_ins.h"

#include "tests/support/optimizations_fixture.h"

namespace twi::sql {
namespace {

class StandInsTest : public OptimizationsFixture {
 protected:
  /// What a connection that has run the script finds.
  std::string Found(const std::string& query) { return database_.Value(StandIns() + query); }
};

constexpr char kMade[] =
    "select count(*) from pg_class where relkind = 'r' and relpersistence = 't'";
constexpr char kShapes[] = R"(
select string_agg(concat_ws(' ', c.relname, a.attname, format_type(a.atttypid, a.atttypmod)), ', '
  order by c.relname, a.attnum)
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
where c.oid = any (array['user_activity_stats', 'channel_hourly_stats', 'daily_message_stats',
  'daily_member_stats', 'user_channel_activity', 'weekly_message_stats']::regclass[]))";
constexpr char kKeys[] = R"(
select string_agg(i.indexrelid::regclass::text, ', ' order by i.indexrelid::regclass::text)
from pg_index i
where i.indisunique and i.indrelid = any (array['user_activity_stats', 'weekly_message_stats']::regclass[]))";

TEST_F(StandInsTest, HaveTheColumnsAndKeysOfTheViews) {
  EXPECT_EQ(Found(kMade), "6");
  const std::string shapes = Found(kShapes);
  EXPECT_EQ(Found(kKeys), "user_activity_stats_key, weekly_message_stats_key");
  // They were the connection's own.
  EXPECT_EQ(database_.Value("select to_regclass('user_activity_stats') is null"), "t");
  Optimize();
  EXPECT_EQ(Found(kMade), "0");
  EXPECT_EQ(Found(kShapes), shapes);
}

TEST_F(StandInsTest, WhatCannotBeMadeIsLeftOut) {
  database_.Run("drop table join_leave");
  EXPECT_EQ(Found(kMade), "5");
  database_.Run("drop table messages cascade");
  EXPECT_EQ(Found(kMade), "0");
}

}  // namespace
}  // namespace twi::sql

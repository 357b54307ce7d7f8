// The estimate of sql/optimizations/base.sql, and what is rebuilt by it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/optimizations_fixture.h"

namespace twi::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class IndexBloatTest : public OptimizationsFixture {};

constexpr char kShapes[] = R"(
create table shapes (
  id bigint primary key, small smallint, name text, maybe text, same int, at timestamp, big numeric);
insert into shapes
select
  g, g % 100, md5(g::text), case when g % 3 = 0 then repeat('x', g % 40) end, 7,
  timestamp '2020-01-01' + g * interval '1 second', g::numeric / 7
from generate_series(1, 60000) g;
create unique index shapes_name on shapes (name);
create index shapes_small on shapes (small);
create index shapes_same on shapes (same);
create index shapes_maybe on shapes (maybe);
create index shapes_big on shapes (big);
create index shapes_mixed on shapes (small, name, at);
create index shapes_lower on shapes (lower(name), id desc);
create index shapes_part on shapes (at) where small = 5;
create index shapes_more on shapes (at) include (name);
create index shapes_loose on shapes (at) with (fillfactor = 40);
analyze shapes;
)";

TEST_F(IndexBloatTest, OnlyBloatedIndexesAreRebuilt) {
  database_.Run(kShapes);
  // Of those that were just made none is bloated, whatever it looks like.
  EXPECT_THAT(Maintain(), IsEmpty());
  Optimize();
  EXPECT_EQ(database_.Value("select string_agg(index::text, ', ') from index_bloat()"
                            " where index::text like 'shapes%' and (bloated or"
                            " bytes > 1.3 * expected_bytes)"),
            "");
  EXPECT_EQ(database_.Value("select count(*) from index_bloat() where index::text like 'shapes%'"),
            "11");

  // Neither are those that have lost a little. Rows left here and there keep every page.
  database_.Run("delete from shapes where id % 10 in (1, 2, 3); analyze shapes");
  EXPECT_THAT(Maintain(), IsEmpty());
  database_.Run("delete from shapes where id % 10 > 0; analyze shapes");
  EXPECT_THAT(Maintain(), ::testing::UnorderedElementsAre(
                              "shapes_pkey", "shapes_name", "shapes_big", "shapes_mixed",
                              "shapes_lower", "shapes_more", "shapes_loose"));
  EXPECT_THAT(Maintain(), IsEmpty());
}

TEST_F(IndexBloatTest, BloatOfEqualValuesIsSeen) {
  // Each takes less than half of what a value of its own would.
  database_.Run(R"(
      create table alike (kind smallint not null);
      insert into alike select g % 100 from generate_series(1, 400000) g;
      create index alike_kind on alike (kind);
      analyze alike)");
  EXPECT_THAT(Maintain(), IsEmpty());
  database_.Run("delete from alike where random() < 0.6; analyze alike");
  EXPECT_THAT(Maintain(), ElementsAre("alike_kind"));
  EXPECT_THAT(Maintain(), IsEmpty());
}

TEST_F(IndexBloatTest, MaintainIndexesRebuildsTheBloated) {
  Optimize();
  database_.Run(kShapes);
  database_.Run("delete from shapes where id % 10 > 0; analyze shapes");
  EXPECT_EQ(database_.Value("select string_agg(name, ' ' order by name)"
                            " from maintain_indexes() name"),
            "shapes_big shapes_loose shapes_lower shapes_mixed shapes_more shapes_name"
            " shapes_pkey");
  EXPECT_EQ(database_.Value("select count(*) from maintain_indexes()"), "0");
}

}  // namespace
}  // namespace twi::sql

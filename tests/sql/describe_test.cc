#include "sql/describe.h"

#include <gtest/gtest.h>

#include "tests/support/database.h"

namespace twi::sql {
namespace {

TEST(DescribeTest, TellsWhatMayTakeLong) {
  const testing::Database database;
  const auto described = Describe(
      database.dsn(), {"select $1::bigint", "select count(*) from generate_series(1, 1000000)",
                       "select count(*) from generate_series(1, $1::bigint)",
                       "select no_such_column", "select $1::jsonb, $2::text[]"});
  ASSERT_TRUE(described.ok()) << described.status();
  std::vector<bool> costly;
  for (const Described& one : *described) costly.push_back(one.description.costly);
  EXPECT_EQ(costly, (std::vector<bool>{false, true, false, false, false}));
  EXPECT_EQ((*described)[3].error.sqlstate, "42703");
  EXPECT_EQ((*described)[4].description.parameters.size(), 2U);
}

TEST(DescribeTest, SaysThatThereIsNoDatabase) {
  EXPECT_TRUE(absl::IsUnavailable(Describe("host=/nowhere", {"select 1"}).status()));
}

}  // namespace
}  // namespace twi::sql

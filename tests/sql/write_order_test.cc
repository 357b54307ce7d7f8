// Writes of the same rows in opposite orders.

#include <gtest/gtest.h>

#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

const Statement kForwards = {"Test/Forwards",
                             "with a as (update pair set n = n + $1 where id = 1 returning id) "
                             "update pair set n = pair.n + $1 from a where pair.id = 2",
                             false};
const Statement kBackwards = {"Test/Backwards",
                              "with b as (update pair set n = n + $1 where id = 2 returning id) "
                              "update pair set n = pair.n + $1 from b where pair.id = 1",
                              false};

TEST_F(PoolTest, OppositeOrdersDoNotDeadlock) {
  database_.Run(
      "create table pair (id int primary key, n bigint); insert into pair values (1, 0), "
      "(2, 0)");
  const int rounds = std::max(5, static_cast<int>(100 * Load()));
  int64_t runs = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::unique_ptr<Execution>> all;
    for (int i = 0; i < 25; ++i) {
      for (const Statement* statement : {&kForwards, &kBackwards}) {
        all.push_back(std::move(Begin(*statement, {1})[0]));
      }
    }
    Wait();
    for (const auto& execution : all) {
      ASSERT_TRUE(execution->status.ok()) << execution->status << execution->database_message;
    }
    runs += static_cast<int64_t>(all.size());
  }
  EXPECT_EQ(database_.Value("select string_agg(n::text, ' ') from pair"),
            std::to_string(runs) + " " + std::to_string(runs));
}

}  // namespace
}  // namespace twi::sql

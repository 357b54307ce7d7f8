// The write was done, and its answer is lost with the connection.

#include <gtest/gtest.h>

#include <thread>

#include "sql/errors.h"
#include "tests/support/pool_fixture.h"
#include "tests/support/proxy.h"

namespace twi::sql {
namespace {

// `runs` counts how often it was done; what it says is the same every time.
const Statement kUpsert = {"Test/Upsert",
                           "insert into noted (id, value) values ($1, $1) on conflict (id) do "
                           "update set value = excluded.value, runs = noted.runs + 1 returning id",
                           false};

class LostAnswerTest : public PoolTest {
 protected:
  LostAnswerTest() {
    database_.Run("create table noted (id bigint primary key, value bigint, runs int default 1)");
    // By way of the proxy.
    pool_ = std::make_unique<Pool>(PoolOptions{.dsn = proxy_.dsn(), .slow = slow_});
    EXPECT_TRUE(pool_->WaitConnected(absl::Seconds(60)).ok());
  }
  ~LostAnswerTest() override { pool_.reset(); }

  /// Runs the upsert and cuts its connection between commit and answer.
  Execution Lose(bool idempotent) {
    Execution execution;
    execution.statement = &kUpsert;
    execution.parameters.Add(Int8(7));
    execution.deadline = Clock::now() + std::chrono::seconds(60);
    execution.idempotent = idempotent;
    execution.done = [this] { Done(); };
    outstanding_ = 1;
    proxy_.HoldAnswers();
    EXPECT_TRUE(pool_->Submit(&execution));
    while (database_.Value("select count(*) from noted") == "0") {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_EQ(Outstanding(), 1);
    proxy_.Cut();
    Wait();
    return execution;
  }

  testing::Proxy proxy_{database_.dsn()};
};

TEST_F(LostAnswerTest, OfAnIdempotentWriteRunsItAgainToOneEffect) {
  const Execution execution = Lose(/*idempotent=*/true);
  EXPECT_TRUE(execution.status.ok()) << execution.status;
  EXPECT_EQ(Int8Of(execution.rows), 7);
  EXPECT_EQ(execution.attempts, 2);
  EXPECT_EQ(database_.Value("select string_agg(id || ' ' || value || ' ' || runs, ',') from noted"),
            "7 7 2");
}

TEST_F(LostAnswerTest, OfAnyOtherWriteIsToldAsUnknown) {
  const Execution execution = Lose(/*idempotent=*/false);
  EXPECT_EQ(execution.status.code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(Reason(execution.status), "OUTCOME_UNKNOWN");
  EXPECT_EQ(execution.attempts, 1);
  EXPECT_EQ(database_.Value("select string_agg(id || ' ' || value || ' ' || runs, ',') from noted"),
            "7 7 1");
}

}  // namespace
}  // namespace twi::sql

// Connections that nobody uses are asked for an answer, and replaced when they give none.

#include "sql/validation.h"

#include <gtest/gtest.h>

#include <future>

#include "tests/support/pool_fixture.h"
#include "tests/support/proxy.h"

namespace twi::sql {
namespace {

// Nobody uses them, and the machine may be busy.
constexpr std::chrono::seconds kPatience{60};

class ValidationTest : public PoolTest {
 protected:
  ValidationTest() {
    pool_ = std::make_unique<Pool>(PoolOptions{.dsn = proxy_.dsn(), .slow = slow_});
    EXPECT_TRUE(pool_->WaitConnected(absl::Seconds(60)).ok());
  }
  // The proxy goes after the pool's connections.
  ~ValidationTest() override { pool_.reset(); }

  Validation Validate(Clock::duration patience = kPatience) {
    std::promise<Validation> validation;
    pool_->Validate(patience, [&](const Validation& result) { validation.set_value(result); });
    return validation.get_future().get();
  }

  /// Expects that five idle connections were asked, as many as a pool keeps.
  static void ExpectAsked(const Validation& validation, int dead, int replaced) {
    EXPECT_EQ(validation.checked, 5);
    EXPECT_EQ(validation.dead, dead);
    EXPECT_EQ(validation.replaced, replaced);
  }

  testing::Proxy proxy_{database_.dsn()};
};

TEST_F(ValidationTest, WhoAnswersStays) {
  const int64_t opened = pool_->numbers().opened;
  ExpectAsked(Validate(), 0, 0);
  ExpectAsked(Validate(), 0, 0);
  EXPECT_EQ(pool_->numbers().opened, opened);
  EXPECT_TRUE(Run(kEcho, {7})[0]->status.ok());
  EXPECT_TRUE(Run(kInsert, {7})[0]->status.ok());
}

TEST_F(ValidationTest, WhoGivesNoAnswerIsReplaced) {
  proxy_.Freeze();
  ExpectAsked(Validate(std::chrono::milliseconds(50)), 5, 5);
  EXPECT_EQ(pool_->numbers().lost, 5);
  EXPECT_TRUE(Run(kEcho, {7})[0]->status.ok());
  EXPECT_TRUE(Run(kInsert, {7})[0]->status.ok());
  ExpectAsked(Validate(), 0, 0);
}

TEST_F(ValidationTest, ConnectionsThatTheDatabaseEndsAreReplaced) {
  const int64_t opened = pool_->numbers().opened;
  database_.Run(
      "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
      " where datname = current_database() and application_name = 'twi-data'");
  // Whether they are found by this or by themselves, afterwards there are as many as before.
  Validate();
  EXPECT_TRUE(Eventually([&] { return pool_->numbers().opened == opened + 5; }));
  EXPECT_TRUE(Eventually([this] { return pool_->numbers().idle == 5; }));
  ExpectAsked(Validate(), 0, 0);
}

TEST_F(ValidationTest, WhoRunsSomethingIsNotAsked) {
  testing::Transaction gate = Close(1);
  const auto holder = Hold(kPass, 1);
  const Validation validation = Validate();
  EXPECT_EQ(validation.checked, 4);
  EXPECT_EQ(validation.dead, 0);
  gate.End();
  Wait();
  EXPECT_TRUE(holder[0]->status.ok());
}

TEST_F(ValidationTest, OneThatThePoolDoesNotOutlastEnds) {
  proxy_.Freeze();
  std::promise<Validation> validation;
  pool_->Validate(kPatience, [&](const Validation& result) { validation.set_value(result); });
  pool_->Stop();
  EXPECT_EQ(validation.get_future().get().replaced, 0);
}

}  // namespace
}  // namespace twi::sql

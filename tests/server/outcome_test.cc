// What callers are told when the connection breaks while their write commits.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/work.h"

namespace twi::server {
namespace {

using testing::DetailsOf;
using OutcomeTest = testing::WorkTest;

TEST_F(OutcomeTest, AWriteKilledAtItsCommitIsUnknown) {
  auto write = Begin("Add", Write(1, /*gated=*/true));
  Kill(UntilHeld(1));
  const grpc::Status status = write.get();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(DetailsOf(status).info.reason(), "OUTCOME_UNKNOWN");
  EXPECT_EQ(server_.database().Value("select count(*) from work"), "0");
  // It is not run again: the connection is back and has done later work.
  EXPECT_TRUE(Call("Add", Write(2)).ok());
  EXPECT_EQ(server_.database().Value("select count(*) from work where id = 1"), "0");
}

TEST_F(OutcomeTest, AnIdempotentWriteKilledAtItsCommitIsRunAgain) {
  auto write = Begin("Set", Write(1, /*gated=*/true));
  Kill(UntilHeld(1));
  UntilHeld(1);
  Open(1);
  EXPECT_TRUE(write.get().ok());
  EXPECT_EQ(server_.database().Value("select count || ' ' || runs from work"), "1 1");
}

TEST_F(OutcomeTest, AReadThatIsKilledIsRunAgain) {
  auto read = Begin("Pass", Row(1));
  Kill(UntilHeld(1));
  UntilHeld(1);
  Open(1);
  EXPECT_TRUE(read.get().ok());
}

}  // namespace
}  // namespace twi::server

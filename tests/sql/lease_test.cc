#include "sql/lease.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "sql/errors.h"
#include "tests/support/borrower.h"
#include "tests/support/pool_fixture.h"

namespace twi::sql {
namespace {

/// Borrowers of sessions, one each.
class LoanTest : public PoolTest {
 protected:
  LoanTest() : PoolTest(absl::Milliseconds(5)) {}

  Borrower& Ask(Clock::duration timeout = std::chrono::seconds(60)) {
    borrowers_.push_back(std::make_unique<Borrower>(*pool_));
    borrowers_.back()->Ask(timeout);
    return *borrowers_.back();
  }

  /// A pool of so many sessions at most, and all lent.
  void LendAll(int sessions) {
    Restart({.max_connections = sessions + 4});
    for (int i = 0; i < sessions; ++i) ASSERT_TRUE(Ask().Wait().ok());
  }

  std::vector<std::unique_ptr<Borrower>> borrowers_;
};

TEST_F(LoanTest, SessionsAreLentUpToTheLimit) {
  LendAll(16);
  EXPECT_EQ(Connections(), 18);
  EXPECT_EQ(pool_->numbers().busy, 16);
  Borrower& late = Ask();
  EXPECT_TRUE(Eventually([this] { return pool_->numbers().waiting == 1; }));
  borrowers_[3]->Return();
  EXPECT_TRUE(late.Wait().ok());
  EXPECT_EQ(Connections(), 18);
}

TEST_F(LoanTest, OneLimitHoldsForLoansAndForWhatRunsAlone) {
  Restart({.max_connections = 10});
  const Statement read = {"Test/SlowRead", "select pg_sleep(0.01), $1::bigint", true};
  const Statement write = {"Test/SlowWrite", "insert into t select $1 from pg_sleep(0.01)", false};
  Run(read, {1});
  Run(write, {1});
  std::atomic<bool> over = false;
  int most = 0;
  std::thread watcher([&] {
    while (!over) most = std::max(most, Connections());
  });
  const int rounds = std::max(2, static_cast<int>(8 * Load()));
  for (int round = 0; round < rounds; ++round) {
    auto reads = Begin(read, Range(0, 20));
    auto writes = Begin(write, Range(20 * round + 100, 20 * round + 120));
    for (int i = 0; i < 4; ++i) Ask();
    for (auto& borrower : borrowers_) {
      EXPECT_TRUE(borrower->Wait().ok());
      borrower->Return();
    }
    borrowers_.clear();
    Wait();
    for (const auto& all : {std::ref(reads), std::ref(writes)}) {
      for (const auto& one : all.get()) EXPECT_TRUE(one->status.ok()) << one->status;
    }
  }
  over = true;
  watcher.join();
  EXPECT_GT(pool_->numbers().closed_room, 0) << "no kind ever made room for the other";
  EXPECT_LE(most, 8);
}

TEST_F(LoanTest, WhoComesFirstIsServedFirstWhateverItWants) {
  LendAll(2);
  borrowers_.clear();
  MakeSlow(kPass);
  testing::Transaction gate = Close(1);
  testing::Transaction later_gate = Close(2);
  // Reads take both sessions, and more of them stand on both sides of the loan.
  auto before = Begin(kPass, std::vector<int64_t>(6, 1));
  const auto waiting = [this](int count) {
    const PoolNumbers numbers = pool_->numbers();
    return numbers.busy == 2 && numbers.waiting == count;
  };
  EXPECT_TRUE(Eventually([&] { return waiting(4); }));
  // What comes at the same time may stand before it: reads wait for the lane first.
  Borrower& borrower = Ask();
  EXPECT_TRUE(Eventually([&] { return waiting(5); }));
  auto after = Begin(kPass, std::vector<int64_t>(40, 2));
  gate.End();
  EXPECT_TRUE(borrower.Wait().ok()) << "reads that came later went first";
  borrower.Return();
  later_gate.End();
  Wait();
}

TEST_F(LoanTest, WhoWaitsIsAnsweredAtItsDeadline) {
  LendAll(2);
  // One who has more time stands before it.
  Borrower& patient = Ask();
  const auto begin = Clock::now();
  Borrower& late = Ask(std::chrono::milliseconds(50));
  EXPECT_EQ(late.Wait().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(Clock::now() - begin, std::chrono::milliseconds(50));
  EXPECT_FALSE(late.loan().lease);
  EXPECT_EQ(pool_->numbers().waiting, 1);
  borrowers_[0]->Return();
  EXPECT_TRUE(patient.Wait().ok());
}

TEST_F(LoanTest, WhoGivesUpWaitingIsAnswered) {
  LendAll(2);
  Borrower& patient = Ask();
  Borrower borrower(*pool_);
  borrower.loan().cancelled = &cancelled_;
  borrower.Ask();
  EXPECT_TRUE(Eventually([this] { return pool_->numbers().waiting == 2; }));
  cancelled_ = true;
  EXPECT_EQ(borrower.Wait().code(), absl::StatusCode::kCancelled);
  borrowers_[0]->Return();
  EXPECT_TRUE(patient.Wait().ok());
}

TEST_F(LoanTest, WhatRunsAloneIsAnsweredAtItsDeadlineWhenAllIsLent) {
  Restart({.max_connections = 6});
  MakeSlow(kPass);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(Ask().Wait().ok());
  const auto executions = Run(kPass, {1}, std::chrono::milliseconds(50));
  EXPECT_EQ(executions[0]->status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(LoanTest, TooManyWhoWaitAreRefused) {
  LendAll(2);
  std::vector<std::unique_ptr<Loan>> loans;
  for (int i = 0; i < 6000; ++i) {
    loans.push_back(std::make_unique<Loan>());
    loans.back()->done = [this] { Done(); };
    Submit(loans.back().get());
  }
  EXPECT_TRUE(Eventually([this] { return Outstanding() == 5000; }));
  pool_->Stop();
  Wait();
  const auto count = [&](absl::StatusCode code, const std::string& reason) {
    return std::ranges::count_if(loans, [&](const auto& loan) {
      return loan->status.code() == code && Reason(loan->status) == reason;
    });
  };
  EXPECT_EQ(count(absl::StatusCode::kResourceExhausted, "OVERLOADED"), 1000);
  EXPECT_EQ(count(absl::StatusCode::kUnavailable, "SHUTTING_DOWN"), 5000);
}

TEST_F(LoanTest, WhoWouldWaitTooLongIsRefusedAtOnce) {
  LendAll(2);
  // Each session is held for 20 ms and more, so that the mean of the last is some milliseconds.
  std::vector<Borrower*> waiting;
  for (int i = 0; i < 20; ++i) waiting.push_back(&Ask());
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    borrowers_[static_cast<size_t>(i)]->Return();
    ASSERT_TRUE(waiting[static_cast<size_t>(i)]->Wait().ok());
  }
  const Clock::duration timeout = std::chrono::milliseconds(500);
  std::vector<Borrower*> hasty;
  for (int i = 0; i < 200; ++i) hasty.push_back(&Ask(timeout));
  Borrower& patient = Ask();
  int refused = 0;
  for (Borrower* borrower : hasty) {
    const absl::Status status = borrower->Wait();
    refused += absl::IsResourceExhausted(status);
    EXPECT_EQ(Reason(status),
              absl::IsResourceExhausted(status) ? "OVERLOADED" : "DEADLINE_EXCEEDED");
  }
  EXPECT_GE(refused, 100);
  EXPECT_LT(refused, 200) << "those in front may come in time";
  EXPECT_EQ(pool_->numbers().waiting, 1);
  // What runs alone waits for the same sessions.
  std::vector<Borrower*> behind;
  for (int i = 0; i < 200; ++i) behind.push_back(&Ask());
  const Statement alone = {"Test/Alone", "select $1::bigint", true, false, /*costly=*/true};
  EXPECT_EQ(Reason(Run(alone, {1}, timeout)[0]->status), "OVERLOADED");
  borrowers_[20]->Return();
  EXPECT_TRUE(patient.Wait().ok());
  pool_->Stop();
  for (Borrower* borrower : behind) EXPECT_EQ(Reason(borrower->Wait()), "SHUTTING_DOWN");
}

TEST_F(LoanTest, SessionsThatNobodyWantsAreClosedDownToTheMinimum) {
  Restart({.min_connections = 6, .idle = absl::Milliseconds(400)});
  EXPECT_EQ(Connections(), 6);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Ask().Wait().ok());
  // Beside the lanes and what is lent, two for reads only are free.
  EXPECT_TRUE(Eventually([this] { return Connections() == 12; }));
  EXPECT_EQ(pool_->numbers().closed_idle, 2);
  // What is lent is not idle.
  std::this_thread::sleep_for(std::chrono::milliseconds(800));
  EXPECT_EQ(Connections(), 12);
  borrowers_.clear();
  EXPECT_TRUE(Eventually([this] { return Connections() == 6; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(800));
  EXPECT_EQ(Connections(), 6);
  EXPECT_EQ(pool_->numbers().closed_idle, 8);
}

TEST_F(LoanTest, WornSessionsAreClosedWhenTheyAreFree) {
  Restart({.lifetime = absl::Milliseconds(400)});
  Borrower& borrower = Ask();
  ASSERT_TRUE(borrower.Wait().ok());
  const std::string pid = borrower.pid();
  const std::string first = database_.Value(
      "select string_agg(pid::text, ',') from pg_stat_activity where datname = current_database() "
      "and application_name = 'twi-data'");
  EXPECT_TRUE(Eventually([&] {
    return database_.Value("select count(*) from pg_stat_activity where pid in (" + first + ")") ==
           "1";
  }));
  // It is kept until it is given back.
  EXPECT_EQ(borrower.pid(), pid);
  borrower.Return();
  EXPECT_TRUE(Eventually([&] {
    return database_.Value("select count(*) from pg_stat_activity where pid = " + pid) == "0";
  }));
  EXPECT_TRUE(pool_->WaitConnected(absl::Seconds(60)).ok());
}

TEST_F(LoanTest, ACrashOfTheDatabaseIsToldToThoseWhoHaveASessionAndThoseWhoWait) {
  LendAll(1);
  EXPECT_TRUE(borrowers_[0]->Run(kBegin).status.ok());
  Borrower& waiting = Ask();
  EXPECT_TRUE(Eventually([this] { return pool_->numbers().waiting == 1; }));
  // The database takes no new connections, and ends those there are.
  Outage outage(database_);
  EXPECT_EQ(Reason(waiting.Wait()), "DATABASE_UNAVAILABLE");
  EXPECT_EQ(Reason(borrowers_[0]->Run("select 1").status), "DATABASE_UNAVAILABLE");
  // Until it is back, nobody waits.
  const auto begin = Clock::now();
  EXPECT_EQ(Reason(Ask().Wait()), "DATABASE_UNAVAILABLE");
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(30));
  outage.End();
  EXPECT_TRUE(Eventually([this] { return pool_->connected(); }));
  EXPECT_TRUE(Ask().Wait().ok());
}

TEST_F(LoanTest, WhenALaneIsBackNoLoanIsRefused) {
  for (int round = 0; round < 4; ++round) {
    Outage outage(database_);
    // Sessions and lanes try to connect each for themselves, and both less and less often.
    EXPECT_TRUE(Eventually([this] { return Reason(Ask().Wait()) == "DATABASE_UNAVAILABLE"; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
    outage.End();
    EXPECT_TRUE(Eventually([this] { return Run(kEcho, {1})[0]->status.ok(); }));
    EXPECT_TRUE(Ask().Wait().ok());
    borrowers_.clear();
  }
}

TEST_F(LoanTest, AStopEndsWhatIsLent) {
  const Statement slow = {"", "insert into t select 1 from pg_sleep(600)", false};
  LendAll(3);
  borrowers_[0]->Run(kBegin);
  borrowers_[0]->Begin(slow);
  borrowers_[1]->Begin(slow);
  Borrower& waiting = Ask();
  EXPECT_TRUE(Eventually([this] { return Running("pg_sleep(600)") == 2; }));
  pool_->Stop();
  EXPECT_EQ(Reason(borrowers_[0]->End().status), "SHUTTING_DOWN");
  // Outside a transaction, nobody knows.
  EXPECT_EQ(Reason(borrowers_[1]->End().status), "OUTCOME_UNKNOWN");
  EXPECT_EQ(Reason(waiting.Wait()), "SHUTTING_DOWN");
  for (int i = 0; i < 3; ++i) {
    const Execution& execution = borrowers_[i]->Run("select 1");
    EXPECT_EQ(execution.status.code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(Reason(execution.status), "SHUTTING_DOWN");
  }
  EXPECT_EQ(Reason(Ask().Wait()), "SHUTTING_DOWN");
  // Leases outlive the pool.
  pool_.reset();
  EXPECT_EQ(Reason(borrowers_[2]->Run("select 1").status), "SHUTTING_DOWN");
  borrowers_.clear();
}

TEST_F(LoanTest, LeasesGoFromHandToHand) {
  Borrower borrower(*pool_);
  ASSERT_TRUE(borrower.Borrow().ok());
  Lease lease;
  EXPECT_FALSE(lease);
  lease = std::move(borrower.loan().lease);
  EXPECT_TRUE(lease);
  EXPECT_FALSE(borrower.loan().lease);
  borrower.loan().lease = std::move(lease);
  EXPECT_TRUE(borrower.Run("select 1").status.ok());
  borrower.Return();
  EXPECT_TRUE(Eventually([this] { return pool_->numbers().busy == 0; }));
}

}  // namespace
}  // namespace twi::sql

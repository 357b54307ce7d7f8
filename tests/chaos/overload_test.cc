// Far more callers than the database can serve: what they are told, when, and what the database
// sees of them. For as long as is promised, and with its figures: TWI_TEST_SECONDS=60.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <limits>
#include <map>
#include <thread>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/log.h"
#include "tests/chaos/callers.h"
#include "tests/support/work.h"

namespace twi::server {
namespace {

using std::chrono::milliseconds;
using testing::Caller;
using testing::Callers;
using twi::test::v1::SleepRequest;

// How many statements may wait for a lane.
constexpr int kWaiting = 5000;

// Callers, server and database have machines of their own elsewhere. Here who asks goes first, or
// it would be measured how late the callers themselves are.
constexpr int kServerNice = 5;
constexpr int kDatabaseNice = 10;

class OverloadTest : public testing::WorkTest {
 protected:
  explicit OverloadTest(const sql::PoolOptions& pool = {}) : WorkTest({}, {}, pool) {
    // A line for each refused call would be all that is seen.
    ProcessLog().set_level(LogLevel::kError);
    server_.database().Run("insert into work select i, 0 from generate_series(1, 1000) i");
  }

  /// All threads but this one, which only starts the callers.
  static void LowerServer() {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      const int id = std::stoi(task.path().filename());
      if (id != getpid()) setpriority(PRIO_PROCESS, id, kServerNice);
    }
  }
};

/// The most backends of the service that were ever seen at once. Each gets the lowest priority.
class Backends {
 public:
  explicit Backends(const testing::Database& database)
      : thread_([this, &database] {
          while (!stop_) {
            const std::string pids = database.Value(
                "select string_agg(pid::text, ',') from pg_stat_activity where datname = "
                "current_database() and application_name = 'twi-data'");
            int count = 0;
            for (const absl::string_view pid : absl::StrSplit(pids, ',', absl::SkipEmpty())) {
              // It may have ended since.
              setpriority(PRIO_PROCESS, std::stoi(std::string(pid)), kDatabaseNice);
              ++count;
            }
            most_ = std::max(most_, count);
            ++looks_;
            std::this_thread::sleep_for(milliseconds(20));
          }
        }) {}
  /// Ends the looking.
  int Most() {
    stop_ = true;
    thread_.join();
    return most_;
  }
  int looks() const { return looks_; }

 private:
  std::atomic<bool> stop_{false};
  int most_ = 0;
  int looks_ = 0;
  std::thread thread_;
};

/// The bound that so much of the overruns keep, in seconds.
double Quantile(const std::string& page, double share) {
  const std::string bucket = "twi_data_deadline_overrun_seconds_bucket{le=\"";
  constexpr double kInfinite = std::numeric_limits<double>::infinity();
  std::vector<std::pair<double, double>> buckets;
  for (size_t at = 0; (at = page.find(bucket, at)) != page.npos;) {
    at += bucket.size();
    const std::string bound = page.substr(at, page.find('"', at) - at);
    const double count = std::stod(page.substr(page.find(' ', at)));
    buckets.emplace_back(bound == "+Inf" ? kInfinite : std::stod(bound), count);
  }
  const double all = buckets.back().second;
  for (const auto& [bound, count] : buckets) {
    if (count >= share * all) return bound;
  }
  return kInfinite;
}

TEST_F(OverloadTest, AThousandCallersOnTwentyConnections) {
  const char* seconds = std::getenv("TWI_TEST_SECONDS");
  const char* load = std::getenv("TWI_TEST_LOAD");  // what sanitizers are given
  const int callers =
      std::max(50, static_cast<int>(1000 * (load == nullptr ? 1 : std::atof(load))));
  // Makes it known as slow. When nothing is known yet, those that come first share a batch.
  SleepRequest sleep;
  sleep.set_seconds(0.05);
  ASSERT_TRUE(Call("Sleep", sleep).ok());

  LowerServer();
  Backends backends(server_.database());
  // From this thread, whose priority it inherits.
  const std::string command =
      absl::StrJoin({std::string(TWI_OVERLOAD_CALLERS), server_.server().address(),
                     std::to_string(callers), std::string(seconds == nullptr ? "4" : seconds)},
                    " ");
  FILE* const told = popen(command.c_str(), "re");
  ASSERT_NE(told, nullptr);
  std::map<std::string, int> counts;
  char line[100];
  while (std::fgets(line, sizeof(line), told) != nullptr) {
    std::cout << "  " << line;
    const char* const last = std::strrchr(line, ' ');
    ASSERT_NE(last, nullptr);
    counts[std::string(static_cast<const char*>(line), last)] = std::atoi(last);
  }
  ASSERT_EQ(pclose(told), 0);
  const int most = backends.Most();
  const double p99 = Quantile(server_.metrics().Page(), 0.99);
  std::cout << "at most " << most << " backends in " << backends.looks() << " looks; "
            << Metric("twi_data_deadline_overrun_seconds_count")
            << " calls ended after their deadline, 99 % of them within " << 1000 * p99 << " ms"
            << std::endl;
  EXPECT_LE(most, 20);
  int ok = 0;
  for (const auto& [what, count] : counts) {
    if (what == "late") continue;
    const std::pair<std::string, std::string> parts = absl::StrSplit(what, ' ');
    EXPECT_TRUE(parts.second == "OK" || parts.second == "RESOURCE_EXHAUSTED" ||
                parts.second == "DEADLINE_EXCEEDED")
        << what;
    if (parts.second == "OK") ok += count;
  }
  for (const char* method : {"Get", "Add", "Set"}) {
    EXPECT_GT(counts[std::string(method) + " OK"], 0) << method << " was starved";
  }
  ASSERT_TRUE(counts.contains("late"));
  EXPECT_LE(1000 * counts["late"], ok);
  // Whether the machine was quiet decides on the rest, so it is asserted only when asked for.
  if (seconds != nullptr) {
    EXPECT_EQ(counts["late"], 0);
    EXPECT_LE(p99, 0.05);
  }
}

/// Nothing is slow, so that what waits at a gate holds up its lane.
class HeldLaneTest : public OverloadTest {
 protected:
  HeldLaneTest() : OverloadTest({.slow = absl::InfiniteDuration()}) {}
};

TEST_F(HeldLaneTest, WhatIsTooMuchToWaitIsRefusedAtOnce) {
  constexpr int kCalls = 6000;
  auto held = Begin("Pass", Row(1));
  UntilHeld(1);
  Callers callers(server_.server().address(), kCalls);
  for (const auto& caller : callers.all()) {
    callers.Start(*caller, "Get", Row(1), milliseconds(60000));
  }
  int refused = 0;
  int ok = 0;
  for (bool open = false; refused + ok < kCalls;) {
    const testing::Event& event = callers.Next();
    Caller& caller = *event.caller;
    if (&event == &caller.ring) continue;
    caller.alarm->Cancel();
    refused += caller.Refused();
    ok += caller.status.ok();
    ASSERT_TRUE(caller.Refused() || caller.status.ok()) << caller.status.error_message();
    // These are told while the others wait.
    if (refused >= kCalls - kWaiting && !std::exchange(open, true)) Open(1);
  }
  EXPECT_EQ(ok, kWaiting);
  EXPECT_TRUE(held.get().ok());
}

}  // namespace
}  // namespace twi::server

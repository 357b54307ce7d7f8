// Far more callers than the database can serve: what they are told, when, and what the database
// sees of them. For as long as is promised, and with its figures: TWI_TEST_SECONDS=60.

#include <grpcpp/alarm.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "server/log.h"
#include "server/wire.h"
#include "tests/support/work.h"

namespace twi::server {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using testing::DetailsOf;
using twi::test::v1::SleepRequest;

constexpr int kRows = 1000;
// How many statements may wait for a lane.
constexpr int kWaiting = 5000;
// gRPC's clocks go by milliseconds, and it rounds deadlines up to the next.
constexpr milliseconds kGranularity{2};
// Alarms and answers come to the caller's queue by different threads.
constexpr milliseconds kHandOver{10};

/// What comes out of a completion queue.
struct Event {
  struct Caller* caller;
};

/// A caller: one call at a time.
struct Caller {
  explicit Caller(grpc::GenericStub* of) : stub(of) {}

  grpc::GenericStub* const stub;
  std::string method;
  std::optional<grpc::ClientContext> context;
  // Lives in the context's call: reset before it.
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  grpc::ByteBuffer response;
  grpc::Status status;
  /// Rings at the call's deadline, and at the end of a pause before the next call.
  std::unique_ptr<grpc::Alarm> alarm;
  std::optional<Clock::time_point> rang;
  /// Before the next call, as it was told.
  milliseconds pause{0};
  /// Events that are still to come.
  int due = 0;

  Event answer{this};
  Event ring{this};
};

class OverloadTest : public testing::WorkTest {
 protected:
  explicit OverloadTest(const sql::PoolOptions& pool = {}) : WorkTest({}, {}, pool) {
    // Debian's absl looks for lock cycles at every lock, which costs more than all the rest.
    absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    // A line for each refused call would be all that is seen.
    ProcessLog().set_level(LogLevel::kError);
    server_.database().Run("insert into work select i, 0 from generate_series(1, 1000) i");
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // or all channels share a connection
    for (int i = 0; i < 8; ++i) {
      const auto channel = grpc::CreateCustomChannel(server_.server().address(),
                                                     grpc::InsecureChannelCredentials(), arguments);
      EXPECT_TRUE(
          channel->WaitForConnected(std::chrono::system_clock::now() + milliseconds(60000)));
      stubs_.emplace_back(channel);
    }
  }

  void Start(Caller& caller, const std::string& method, const google::protobuf::Message& request,
             milliseconds timeout) {
    caller.method = method;
    caller.reader.reset();
    caller.context.emplace();
    const auto deadline = std::chrono::system_clock::now() + timeout;
    caller.context->set_deadline(deadline);
    caller.reader = caller.stub->PrepareUnaryCall(&*caller.context, Path(method),
                                                  Buffer(request.SerializeAsString()), &queue_);
    caller.reader->StartCall();
    caller.reader->Finish(&caller.response, &caller.status, &caller.answer);
    caller.due = 1;
    Ring(caller, deadline + kGranularity);
  }

  void Ring(Caller& caller, std::chrono::system_clock::time_point time) {
    caller.rang.reset();
    ++caller.due;
    caller.alarm = std::make_unique<grpc::Alarm>();
    caller.alarm->Set(&queue_, time, &caller.ring);
  }

  Event& Next() {
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue_.Next(&tag, &ok));
    return *static_cast<Event*>(tag);
  }

  /// Whether it was refused; fails when it was not told as it should be.
  static bool Refused(const Caller& caller) {
    if (caller.status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) return false;
    EXPECT_EQ(DetailsOf(caller.status).info.reason(), "OVERLOADED");
    EXPECT_GT(Delay(caller), milliseconds(0));
    return true;
  }

  /// What a refused caller is told to wait.
  static milliseconds Delay(const Caller& caller) {
    const google::protobuf::Duration delay = DetailsOf(caller.status).retry.retry_delay();
    return milliseconds(1000 * delay.seconds() + delay.nanos() / 1'000'000);
  }

  std::vector<grpc::GenericStub> stubs_;
  grpc::CompletionQueue queue_;
};

/// The most backends of the service that were ever seen at once.
class Backends {
 public:
  explicit Backends(const testing::Database& database)
      : thread_([this, &database] {
          while (!stop_) {
            most_ = std::max(most_, std::stoi(database.Value(
                                        "select count(*) from pg_stat_activity where datname = "
                                        "current_database() and application_name = 'twi-data'")));
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

// An answer is late when the alarm that its caller has set for the deadline came out of the
// caller's completion queue before it: how busy the caller is delays both.
TEST_F(OverloadTest, AThousandCallersOnTwentyConnections) {
  const char* given = std::getenv("TWI_TEST_SECONDS");
  const milliseconds length(static_cast<int>(1000 * (given == nullptr ? 4 : std::atof(given))));
  // Makes it known as slow. When nothing is known yet, those that come first share a batch.
  SleepRequest sleep;
  sleep.set_seconds(0.05);
  ASSERT_TRUE(Call("Sleep", sleep).ok());

  std::minstd_rand random(1);
  const auto uniform = [&random](double least, double most) {
    return std::uniform_real_distribution(least, most)(random);
  };
  const auto begin = [&](Caller& caller) {
    // A few, for gRPC's client keeps a list of those it has sent and goes through it in each call.
    constexpr int kTimeouts[] = {50, 100, 200, 300, 500, 1000, 2000};
    const milliseconds timeout(kTimeouts[static_cast<size_t>(uniform(0, 6.99))]);
    const int64_t id = 1 + static_cast<int64_t>(uniform(0, kRows - 0.5));
    const double kind = uniform(0, 1);
    if (kind < 0.15) {
      sleep.set_seconds(uniform(0, 1));
      Start(caller, "Sleep", sleep, timeout);
    } else if (kind < 0.45) {
      Start(caller, kind < 0.3 ? "Add" : "Set", Write(id), timeout);
    } else {
      Start(caller, "Get", Row(id), timeout);
    }
  };

  const char* load = std::getenv("TWI_TEST_LOAD");  // what sanitizers are given
  const int all = std::max(50, static_cast<int>(1000 * (load == nullptr ? 1 : std::atof(load))));
  Backends backends(server_.database());
  std::map<std::string, int> counts;
  int ok = 0;
  int late = 0;
  std::vector<std::unique_ptr<Caller>> callers;
  const auto end = Clock::now() + length;
  for (int i = 0; i < all; ++i) {
    callers.push_back(std::make_unique<Caller>(&stubs_[i % stubs_.size()]));
    begin(*callers.back());
  }
  for (int under_way = all; under_way > 0;) {
    Event& event = Next();
    Caller& caller = *event.caller;
    const bool answered = &event == &caller.answer;
    if (answered) {
      const auto code = static_cast<absl::StatusCode>(caller.status.error_code());
      ++counts[caller.method + " " + absl::StatusCodeToString(code)];
      EXPECT_TRUE(caller.status.ok() || Refused(caller) ||
                  code == absl::StatusCode::kDeadlineExceeded)
          << caller.status.error_message();
      ok += caller.status.ok();
      late += caller.status.ok() && caller.rang && Clock::now() > *caller.rang + kHandOver;
      caller.pause = Refused(caller) ? Delay(caller) : milliseconds(0);
      caller.alarm->Cancel();
    }
    if (!answered) caller.rang = Clock::now();
    if (--caller.due > 0) continue;
    const auto pause = std::exchange(caller.pause, milliseconds(0));
    if (Clock::now() >= end) {
      --under_way;
    } else if (pause > milliseconds(0)) {
      Ring(caller, std::chrono::system_clock::now() + pause);
    } else {
      begin(caller);
    }
  }

  const std::string page = server_.metrics().Page();
  const int most = backends.Most();
  for (const auto& [what, count] : counts) std::cout << "  " << what << ": " << count << "\n";
  const double p99 = Quantile(page, 0.99);
  std::cout << "at most " << most << " backends in " << backends.looks() << " looks; " << late
            << " of " << ok << " answers were OK and late; "
            << Metric("twi_data_deadline_overrun_seconds_count")
            << " calls ended after their deadline, 99 % of them within " << 1000 * p99 << " ms"
            << std::endl;
  // Whether the machine was quiet decides on the rest, so it is asserted only when asked for.
  EXPECT_LE(1000 * late, ok);
  EXPECT_LE(most, 20);
  for (const char* method : {"Get", "Add", "Set"}) {
    EXPECT_GT(counts[std::string(method) + " OK"], 0) << method << " was starved";
  }
  if (given != nullptr) {
    EXPECT_EQ(late, 0);
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
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < kCalls; ++i) {
    callers.push_back(std::make_unique<Caller>(&stubs_[i % stubs_.size()]));
    Start(*callers.back(), "Get", Row(1), milliseconds(60000));
  }
  int refused = 0;
  int ok = 0;
  for (bool open = false; refused + ok < kCalls;) {
    const Event& event = Next();
    Caller& caller = *event.caller;
    if (&event == &caller.ring) continue;
    caller.alarm->Cancel();
    refused += Refused(caller);
    ok += caller.status.ok();
    ASSERT_TRUE(Refused(caller) || caller.status.ok()) << caller.status.error_message();
    // These are told while the others wait.
    if (refused >= kCalls - kWaiting && !std::exchange(open, true)) Open(1);
  }
  EXPECT_EQ(ok, kWaiting);
  EXPECT_TRUE(held.get().ok());
  // The alarms that were cancelled.
  queue_.Shutdown();
  void* tag = nullptr;
  for (bool rang = false; queue_.Next(&tag, &rang);) continue;
}

}  // namespace
}  // namespace twi::server

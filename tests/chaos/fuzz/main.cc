// Sends a server what no caller should: to each method, right requests, these with some bytes
// changed, messages of any values, and any bytes, with odd metadata, early ends and little time.
// Every call must be answered with a status that is none of a fault. A run is made again by its
// --seed, a call of it by
// --first and --count.
//
// Prints how many calls of each method ended with each status; the exit code is 1 when something
// was wrong, and each call of that kind is told.

#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "tests/chaos/fuzz/caller.h"
#include "tests/chaos/fuzz/inputs.h"
#include "twi/data/v1/database.pb.h"

ABSL_FLAG(std::string, target, "127.0.0.1:50051", "server, HOST:PORT");
ABSL_FLAG(std::string, token, "", "who calls");
ABSL_FLAG(std::vector<std::string>, cases, {},
          "folders with requests that are right, <service>.textproto");
ABSL_FLAG(uint64_t, seed, 0, "which calls are made; 0: any");
ABSL_FLAG(double, seconds, 10,
          "how long, at least; each method gets each kind of input at least once");
ABSL_FLAG(uint64_t, first, 0, "the number of the first call");
ABSL_FLAG(uint64_t, count, 0, "how many calls instead of how long");
ABSL_FLAG(int, callers, 4, "how many calls are under way at the most");

namespace twi::fuzz {
namespace {

using Clock = std::chrono::steady_clock;

// More say nothing new.
constexpr int kMostFaults = 20;

/// What became of all calls.
class Tally {
 public:
  explicit Tally(uint64_t seed) : seed_(seed) {}

  void Add(uint64_t index, const Input& input, const Ending& ending) {
    const std::lock_guard lock(mutex_);
    ++calls_;
    const auto code = static_cast<absl::StatusCode>(ending.status.error_code());
    ++codes_[input.method == nullptr ? "/" : input.path][absl::StatusCodeToString(code)];
    if (!ending.fault) return;
    ++faults_;
    std::cout << "FAULT " << *ending.fault << "\n  --seed=" << seed_ << " --first=" << index
              << " --count=1 " << input.Describe() << std::endl;
  }

  bool Enough() const { return faults_ >= kMostFaults; }
  bool Faultless() const { return faults_ == 0; }

  void Print() {
    const std::lock_guard lock(mutex_);
    std::map<std::string, int> all;
    for (const auto& [path, codes] : codes_) {
      std::cout << path;
      for (const auto& [code, count] : codes) {
        std::cout << " " << code << " " << count;
        all[code] += count;
      }
      std::cout << "\n";
    }
    std::cout << calls_ << " calls of " << codes_.size() << " methods, " << faults_ << " faults:";
    for (const auto& [code, count] : all) std::cout << " " << code << " " << count;
    std::cout << std::endl;
  }

 private:
  const uint64_t seed_;
  std::mutex mutex_;
  int calls_ = 0;
  std::atomic<int> faults_{0};
  std::map<std::string, std::map<std::string, int>> codes_;
};

/// Has rows made for the requests, as far as one goes beside the other.
void MakeRows(const Inputs& inputs, Caller& caller) {
  for (const std::string& sql : inputs.given()) {
    data::v1::ExecuteRequest request;
    request.mutable_query()->set_sql(sql);
    Input input;
    input.path = "/twi.data.v1.DatabaseService/Execute";
    input.messages = {request.SerializeAsString()};
    input.deadline = std::chrono::seconds(30);
    if (const std::string& token = absl::GetFlag(FLAGS_token); !token.empty()) {
      input.metadata.emplace("authorization", "Bearer " + token);
    }
    caller.Make(input);
  }
}

int Main() {
  uint64_t seed = absl::GetFlag(FLAGS_seed);
  if (seed == 0) seed = std::random_device()();
  std::cout << "seed " << seed << std::endl;
  const Inputs inputs(absl::GetFlag(FLAGS_cases), absl::GetFlag(FLAGS_token));
  const std::string target = absl::GetFlag(FLAGS_target);
  Caller first(target);
  MakeRows(inputs, first);

  Tally tally(seed);
  std::atomic<uint64_t> next = absl::GetFlag(FLAGS_first);
  const uint64_t count = absl::GetFlag(FLAGS_count);
  const uint64_t least = next + (count > 0 ? count : inputs.methods().size() * kKinds);
  const auto end = Clock::now() +
                   std::chrono::duration_cast<Clock::duration>(
                       std::chrono::duration<double>(count > 0 ? 0 : absl::GetFlag(FLAGS_seconds)));
  std::vector<std::thread> threads;
  for (int i = absl::GetFlag(FLAGS_callers); i > 0; --i) {
    threads.emplace_back([&] {
      Caller caller(target);
      while (!tally.Enough()) {
        const uint64_t index = next++;
        if (index >= least && Clock::now() >= end) return;
        const Input input = inputs.Make(seed, index);
        tally.Add(index, input,
                  input.EndsConnection() ? Caller(target).Make(input) : caller.Make(input));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  tally.Print();
  return tally.Faultless() ? 0 : 1;
}

}  // namespace
}  // namespace twi::fuzz

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("sends a server what no caller should");
  absl::ParseCommandLine(argc, argv);
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // It logs each text that is no UTF-8.
  google::protobuf::SetLogHandler(nullptr);
  return twi::fuzz::Main();
}

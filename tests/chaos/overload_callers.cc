// usage: overload_callers ADDRESS CALLERS SECONDS
//
// Callers of WorkService, each of which calls again as soon as it is answered, or when it was told
// to if it was refused. Prints a line `METHOD CODE COUNT` for each, and `late COUNT` for the
// answers that were OK and came after the deadline: after the alarm that their caller had set for
// it.

#include <cstdlib>
#include <iostream>
#include <map>
#include <random>

#include "absl/status/status.h"
#include "tests/chaos/callers.h"
#include "twi/test/v1/work.pb.h"

namespace twi::testing {
namespace {

using std::chrono::milliseconds;
using Clock = Caller::Clock;

constexpr int kRows = 1000;
// Alarms and answers come to the callers' queue by different threads.
constexpr milliseconds kHandOver{10};

/// The calls: seven reads in ten, three writes, and some reads that hold a session for long.
class Mix {
 public:
  explicit Mix(Callers* callers) : callers_(callers) {}

  void Begin(Caller& caller) {
    // A few, for gRPC's client keeps a list of those it has sent and goes through it in each call.
    constexpr int kTimeouts[] = {50, 100, 200, 300, 500, 1000, 2000};
    const milliseconds timeout(kTimeouts[static_cast<size_t>(Uniform(0, 6.99))]);
    const int64_t id = 1 + static_cast<int64_t>(Uniform(0, kRows - 0.5));
    const double kind = Uniform(0, 1);
    if (kind < 0.15) {
      test::v1::SleepRequest sleep;
      sleep.set_seconds(Uniform(0, 1));
      callers_->Start(caller, "Sleep", sleep, timeout);
    } else if (kind < 0.45) {
      test::v1::WriteRequest write;
      write.set_id(id);
      callers_->Start(caller, kind < 0.3 ? "Add" : "Set", write, timeout);
    } else {
      test::v1::RowRequest row;
      row.set_id(id);
      callers_->Start(caller, "Get", row, timeout);
    }
  }

 private:
  double Uniform(double least, double most) {
    return std::uniform_real_distribution(least, most)(random_);
  }

  Callers* const callers_;
  std::minstd_rand random_{1};
};

int Main(const std::string& address, int count, milliseconds length) {
  Callers callers(address, count);
  Mix mix(&callers);
  std::map<std::string, int> counts;
  int late = 0;
  const auto end = Clock::now() + length;
  for (const auto& caller : callers.all()) mix.Begin(*caller);
  for (int under_way = count; under_way > 0;) {
    Event& event = callers.Next();
    Caller& caller = *event.caller;
    const auto now = Clock::now();
    if (&event == &caller.answer) {
      const auto code = static_cast<absl::StatusCode>(caller.status.error_code());
      const bool refused = caller.Refused();
      if (code == absl::StatusCode::kResourceExhausted && !refused) {
        std::cerr << caller.method << " was refused wrongly: " << caller.status.error_message();
        return 1;
      }
      ++counts[caller.method + " " + absl::StatusCodeToString(code)];
      late += caller.status.ok() && caller.rang && now > *caller.rang + kHandOver;
      caller.pause = refused ? caller.Delay() : milliseconds(0);
      caller.alarm->Cancel();
    } else {
      caller.rang = now;
    }
    if (--caller.due > 0) continue;
    const auto pause = std::exchange(caller.pause, milliseconds(0));
    if (now >= end) {
      --under_way;
    } else if (pause > milliseconds(0)) {
      callers.Ring(caller, std::chrono::system_clock::now() + pause);
    } else {
      mix.Begin(caller);
    }
  }
  for (const auto& [what, times] : counts) std::cout << what << " " << times << "\n";
  std::cout << "late " << late << std::endl;
  return 0;
}

}  // namespace
}  // namespace twi::testing

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: overload_callers ADDRESS CALLERS SECONDS\n";
    return 64;
  }
  return twi::testing::Main(argv[1], std::atoi(argv[2]),
                            std::chrono::milliseconds(static_cast<int>(1000 * std::atof(argv[3]))));
}

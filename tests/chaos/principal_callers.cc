// usage: principal_callers ADDRESS TOKEN METHOD HEX CALLS_PER_SECOND SECONDS [SERVICE_CONFIG]
//
// One principal's calls, each begun when it is due, whatever became of those before; SIGTERM ends
// them early. SERVICE_CONFIG is a file. Prints a line of JSON: how many were answered `ok`,
// `refused` (RESOURCE_EXHAUSTED) or otherwise (`other`), with the median and the 99th percentile in
// microseconds from when a call was due; and after how many `seconds` all were answered.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/wire.h"

namespace twi::testing {
namespace {

volatile std::sig_atomic_t terminated = 0;

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

struct Call {
  Clock::time_point due;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  grpc::ByteBuffer response;
  grpc::Status status;
};

/// The times of calls that ended alike.
struct Times {
  std::vector<double> all;

  nlohmann::ordered_json Summary() {
    std::ranges::sort(all);
    const auto at = [&](double share) {
      return all.empty() ? 0
                         : all[static_cast<size_t>(share * static_cast<double>(all.size() - 1))];
    };
    return {{"calls", all.size()}, {"p50_us", at(0.5)}, {"p99_us", at(0.99)}};
  }
};

int Main(const std::vector<std::string>& words) {
  const std::string authorization = "Bearer " + words[1];
  const grpc::ByteBuffer request = server::Buffer(absl::HexStringToBytes(words[3]));
  const std::chrono::duration<double> every(1 / std::atof(words[4].c_str()));
  const std::chrono::duration<double> length(std::atof(words[5].c_str()));

  grpc::ChannelArguments arguments;
  if (words.size() > 6) {
    std::ifstream file(words[6]);
    arguments.SetServiceConfigJSON({std::istreambuf_iterator<char>(file), {}});
  }
  grpc::GenericStub stub(
      grpc::CreateCustomChannel(words[0], grpc::InsecureChannelCredentials(), arguments));
  grpc::CompletionQueue queue;
  std::map<std::string, Times> times{{"ok", {}}, {"refused", {}}, {"other", {}}};
  std::thread taking([&] {
    void* tag = nullptr;
    for (bool ok = false; queue.Next(&tag, &ok);) {
      const std::unique_ptr<Call> call(static_cast<Call*>(tag));
      const bool refused = call->status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
      times[call->status.ok() ? "ok"
            : refused         ? "refused"
                              : "other"]
          .all.push_back(Microseconds(Clock::now() - call->due).count());
    }
  });
  const auto begin = Clock::now();
  for (int i = 0; i * every < length && terminated == 0; ++i) {
    auto call = std::make_unique<Call>();
    call->due = begin + std::chrono::duration_cast<Clock::duration>(i * every);
    std::this_thread::sleep_until(call->due);
    call->context.AddMetadata("authorization", authorization);
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    call->reader = stub.PrepareUnaryCall(&call->context, words[2], request, &queue);
    call->reader->StartCall();
    Call* const tag = call.release();
    tag->reader->Finish(&tag->response, &tag->status, tag);
  }
  queue.Shutdown();
  taking.join();
  nlohmann::ordered_json told;
  told["seconds"] = std::chrono::duration<double>(Clock::now() - begin).count();
  for (auto& [outcome, of_it] : times) told[outcome] = of_it.Summary();
  std::cout << told.dump() << std::endl;
  return 0;
}

}  // namespace
}  // namespace twi::testing

int main(int argc, char** argv) {
  if (argc != 7 && argc != 8) {
    std::cerr << "usage: principal_callers ADDRESS TOKEN METHOD HEX CALLS_PER_SECOND SECONDS"
                 " [SERVICE_CONFIG]\n";
    return 64;
  }
  std::signal(SIGTERM, [](int) { twi::testing::terminated = 1; });
  // Debian's absl looks for lock cycles at every lock, which costs more than all the rest.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return twi::testing::Main(std::vector<std::string>(argv + 1, argv + argc));
}

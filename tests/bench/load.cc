// A load client: keeps a fixed number of calls outstanding against one method for a few seconds and
// prints one line of JSON about them. Messages are raw bytes, so it serves any method, unary or
// with a stream of requests.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/synchronization/mutex.h"
#include "google/protobuf/io/coded_stream.h"

ABSL_FLAG(std::string, target, "127.0.0.1:50051", "server, HOST:PORT");
ABSL_FLAG(std::string, method, "/twi.data.v1.QuotesService/GetQuote", "full path of the method");
ABSL_FLAG(int, outstanding, 64, "calls under way at any time, at most 10,000");
ABSL_FLAG(int, channels, 4, "connections that the calls take turns with, at most 10,000");
ABSL_FLAG(double, seconds, 5, "how long to measure, at most 60");
ABSL_FLAG(double, warmup, 1, "seconds of calls before that which are not measured, at most 10");
ABSL_FLAG(int, max_calls, 10'000'000, "ends the run early after so many calls");
ABSL_FLAG(double, deadline, 10, "seconds each call may take, at most 60");
ABSL_FLAG(int, int64_field, 1, "requests are this int64 field alone, drawn from [min, max]");
ABSL_FLAG(int64_t, int64_min, 1, "least value of int64_field");
ABSL_FLAG(int64_t, int64_max, 10'000, "greatest value of int64_field");
ABSL_FLAG(int, seed, 1, "another one draws others");
ABSL_FLAG(
    std::string, requests_file, "",
    "instead: requests in hex, one a line, sent in turn; a line may name its own method first");
ABSL_FLAG(int, stream, 0,
          "instead of unary calls: each a stream of so many requests, the next ones in turn; then "
          "the whole run is measured");
ABSL_FLAG(std::string, token, "", "who calls: sent as authorization");
ABSL_FLAG(bool, cache, false, "count by the trailer x-cache where answers came from");

namespace twi::bench {
namespace {

using Clock = std::chrono::steady_clock;

Clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

grpc::ByteBuffer Bytes(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

struct Request {
  std::string method;
  grpc::ByteBuffer bytes;
};

std::vector<Request> RequestsOfFile(const std::string& path) {
  std::vector<Request> requests;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t space = line.find(' ');
    const bool named = space != std::string::npos;
    requests.push_back({named ? line.substr(0, space) : absl::GetFlag(FLAGS_method),
                        Bytes(absl::HexStringToBytes(named ? line.substr(space + 1) : line))});
  }
  return requests;
}

/// Enough that going through them in turn is as good as a draw for each call.
std::vector<Request> RandomRequests(int field, int64_t min, int64_t max) {
  using google::protobuf::io::CodedOutputStream;
  std::mt19937_64 random(static_cast<uint64_t>(absl::GetFlag(FLAGS_seed)));
  std::uniform_int_distribution<int64_t> value(min, max);
  std::vector<Request> requests;
  for (int i = 0; i < 100'000; ++i) {
    uint8_t bytes[20];
    uint8_t* end = CodedOutputStream::WriteTagToArray(static_cast<uint32_t>(field) << 3, bytes);
    end = CodedOutputStream::WriteVarint64ToArray(static_cast<uint64_t>(value(random)), end);
    requests.push_back({absl::GetFlag(FLAGS_method), Bytes(std::string(bytes, end))});
  }
  return requests;
}

/// Keeps its calls outstanding until the time is over. One thread, one completion queue.
class Load {
 public:
  Load(std::vector<std::shared_ptr<grpc::Channel>> channels, std::vector<Request> requests)
      : requests_(std::move(requests)) {
    for (auto& channel : channels) stubs_.emplace_back(std::move(channel));
  }

  nlohmann::ordered_json Run(int outstanding) {
    std::vector<Call> calls(outstanding);
    measure_from_ = Clock::now() + Seconds(absl::GetFlag(FLAGS_warmup));
    measure_to_ = measure_from_ + Seconds(absl::GetFlag(FLAGS_seconds));
    if (of_stream_ > 0) from_ = Mark{Clock::now(), CpuSeconds()};
    for (Call& call : calls) Start(call, Clock::now());
    void* tag;
    bool ok;
    while (under_way_ > 0 && queue_.Next(&tag, &ok)) {
      Call& call = *static_cast<Call*>(tag);
      if (call.stream == nullptr || !GoOn(call, ok)) Finish(call);
    }
    return Report();
  }

 private:
  struct Call {
    Clock::time_point started;
    std::optional<grpc::ClientContext> context;
    // Lives in the context's call: reset before it.
    std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
    // Instead of the reader, with how far it is.
    std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream;
    int unsent;
    enum { kSends, kReads, kEnds } step;
    grpc::ByteBuffer response;
    grpc::Status status;
  };

  /// Time and CPU used so far, at either end of what is measured.
  struct Mark {
    Clock::time_point time;
    double cpu_seconds;
  };

  void Start(Call& call, Clock::time_point now) {
    call.started = now;
    call.reader.reset();
    call.stream.reset();
    call.context.emplace();
    call.context->set_deadline(std::chrono::system_clock::now() + deadline_);
    if (!authorization_.empty()) call.context->AddMetadata("authorization", authorization_);
    grpc::GenericStub& stub = stubs_[all_calls_ % stubs_.size()];
    ++all_calls_;
    ++under_way_;
    if (of_stream_ > 0) {
      call.unsent = of_stream_;
      call.step = Call::kSends;
      call.stream =
          stub.PrepareCall(&*call.context, requests_[next_ % requests_.size()].method, &queue_);
      call.stream->StartCall(&call);
      return;
    }
    const Request& request = requests_[next_++ % requests_.size()];
    call.reader = stub.PrepareUnaryCall(&*call.context, request.method, request.bytes, &queue_);
    call.reader->StartCall();
    call.reader->Finish(&call.response, &call.status, &call);
  }

  /// The next step of a stream; false when it has ended.
  bool GoOn(Call& call, bool ok) {
    if (call.step == Call::kEnds) return false;
    if (ok && call.unsent > 0) {
      grpc::WriteOptions options;
      if (--call.unsent == 0) options.set_last_message();
      call.stream->Write(requests_[next_++ % requests_.size()].bytes, options, &call);
    } else if (ok && call.step == Call::kSends) {
      call.step = Call::kReads;
      call.stream->Read(&call.response, &call);
    } else {
      call.step = Call::kEnds;
      call.stream->Finish(&call.status, &call);
    }
    return true;
  }

  void Finish(Call& call) {
    const auto now = Clock::now();
    --under_way_;
    if (call.status.ok()) ++all_ok_;
    if (!from_ && now >= measure_from_) from_ = Mark{now, CpuSeconds()};
    // On a busy machine a short run may be over before a call is.
    const bool none = calls_ == 0 && now < measure_to_ + Seconds(10);
    const bool over = (now >= measure_to_ && !none) || all_calls_ >= max_calls_;
    // Streams that began together end together: only a run as a whole tells their pace.
    const bool whole = of_stream_ > 0;
    if (over && !to_ && !whole) to_ = Mark{now, CpuSeconds()};
    if (from_ && !to_) Record(call, now);
    if (over && under_way_ == 0 && whole) to_ = Mark{now, CpuSeconds()};
    if (!over) Start(call, now);
  }

  void Record(const Call& call, Clock::time_point now) {
    ++calls_;
    if (count_cache_) {
      const auto& trailers = call.context->GetServerTrailingMetadata();
      const auto found = trailers.find("x-cache");
      if (found != trailers.end()) ++cache_[{found->second.data(), found->second.size()}];
    }
    if (call.status.ok()) {
      const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now - call.started);
      micros_.push_back(static_cast<uint32_t>(micros.count()));
      response_bytes_ += call.response.Length();
      return;
    }
    const auto code = static_cast<absl::StatusCode>(call.status.error_code());
    ++errors_[absl::StatusCodeToString(code)];
    if (first_error_.empty()) first_error_ = call.status.error_message();
  }

  nlohmann::ordered_json Report() {
    const auto ok = static_cast<int64_t>(micros_.size());
    nlohmann::ordered_json report = {{"calls", calls_},
                                     {"all_calls", all_calls_},
                                     {"ok", ok},
                                     {"all_ok", all_ok_},
                                     {"errors", errors_}};
    if (!first_error_.empty()) report["first_error"] = first_error_;
    if (ok > 0) report["response_bytes"] = response_bytes_ / ok;
    if (count_cache_) report["cache"] = cache_;
    if (calls_ == 0) return report;
    const std::chrono::duration<double> elapsed = to_->time - from_->time;
    report["calls_per_second"] = static_cast<double>(calls_) / elapsed.count();
    std::sort(micros_.begin(), micros_.end());
    for (const int percent : {50, 90, 99}) {
      if (ok > 0) report["p" + std::to_string(percent) + "_us"] = micros_[(ok - 1) * percent / 100];
    }
    report["client_cpu_us"] =
        1e6 * (to_->cpu_seconds - from_->cpu_seconds) / static_cast<double>(calls_);
    return report;
  }

  const int64_t max_calls_ = absl::GetFlag(FLAGS_max_calls);
  const std::string authorization_ =
      absl::GetFlag(FLAGS_token).empty() ? "" : "Bearer " + absl::GetFlag(FLAGS_token);
  const Clock::duration deadline_ = Seconds(absl::GetFlag(FLAGS_deadline));
  const int of_stream_ = absl::GetFlag(FLAGS_stream);
  const bool count_cache_ = absl::GetFlag(FLAGS_cache);
  const std::vector<Request> requests_;
  size_t next_ = 0;  ///< Of the requests.
  std::vector<grpc::GenericStub> stubs_;
  grpc::CompletionQueue queue_;
  Clock::time_point measure_from_;
  Clock::time_point measure_to_;
  std::optional<Mark> from_;
  std::optional<Mark> to_;
  // Started so far, those of the warm-up and the last ones included: what a server's CPU is shared
  // out over.
  int64_t all_calls_ = 0;
  int64_t all_ok_ = 0;
  int under_way_ = 0;
  int64_t calls_ = 0;
  // Of those that went well: a refusal comes too soon to be a latency.
  std::vector<uint32_t> micros_;
  int64_t response_bytes_ = 0;
  std::map<std::string, int64_t> errors_;
  std::map<std::string, int64_t> cache_;
  std::string first_error_;
};

int Main() {
  const auto within = [](double value, double min, double max) {
    return value >= min && value <= max;
  };
  if (!within(absl::GetFlag(FLAGS_outstanding), 1, 10'000) ||
      !within(absl::GetFlag(FLAGS_channels), 1, 10'000) ||
      !within(absl::GetFlag(FLAGS_seconds), 0, 60) || !within(absl::GetFlag(FLAGS_warmup), 0, 10) ||
      !within(absl::GetFlag(FLAGS_deadline), 0, 60) ||
      !within(absl::GetFlag(FLAGS_stream), 0, 1'000'000)) {
    std::cerr << "a flag is out of its range; see --help\n";
    return 1;
  }
  const std::string file = absl::GetFlag(FLAGS_requests_file);
  auto requests =
      file.empty() ? RandomRequests(absl::GetFlag(FLAGS_int64_field),
                                    absl::GetFlag(FLAGS_int64_min), absl::GetFlag(FLAGS_int64_max))
                   : RequestsOfFile(file);
  if (requests.empty()) {
    std::cerr << "no requests in " << file << "\n";
    return 1;
  }

  // Debian's absl looks for lock cycles at every lock, which is no part of what is measured.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // or all channels share one connection
  const std::string target = absl::GetFlag(FLAGS_target);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < absl::GetFlag(FLAGS_channels); ++i) {
    channels.push_back(
        grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments));
    if (!channels.back()->WaitForConnected(std::chrono::system_clock::now() + Seconds(5))) {
      std::cerr << "cannot connect to " << target << "\n";
      return 1;
    }
  }
  Load load(std::move(channels), std::move(requests));
  std::cout << load.Run(absl::GetFlag(FLAGS_outstanding)) << std::endl;
  return 0;
}

}  // namespace
}  // namespace twi::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Calls a method as fast as it answers.");
  absl::ParseCommandLine(argc, argv);
  return twi::bench::Main();
}

#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "google/protobuf/message.h"

namespace twi::testing {

/// What comes out of a completion queue.
struct Event {
  struct Caller* caller;
};

/// A caller of WorkService: one call at a time.
struct Caller {
  using Clock = std::chrono::steady_clock;

  explicit Caller(grpc::GenericStub* of) : stub(of) {}

  /// Whether it was refused for overload, and told so as it should be.
  bool Refused() const;
  /// How long a refused one was told to wait.
  std::chrono::milliseconds Delay() const;

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
  std::chrono::milliseconds pause{0};
  /// Events that are still to come.
  int due = 0;

  Event answer{this};
  Event ring{this};
};

/// Many callers, served by one thread.
class Callers {
 public:
  Callers(const std::string& address, int count);
  /// No call may be under way.
  ~Callers();

  std::vector<std::unique_ptr<Caller>>& all() { return all_; }

  /// Begins a call; its end is the caller's `answer`, its deadline `ring`.
  void Start(Caller& caller, const std::string& method, const google::protobuf::Message& request,
             std::chrono::milliseconds timeout);
  /// `ring` comes at that time.
  void Ring(Caller& caller, std::chrono::system_clock::time_point time);
  /// Waits for what comes next.
  Event& Next();

 private:
  std::vector<grpc::GenericStub> stubs_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Caller>> all_;
};

}  // namespace twi::testing

#pragma once

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "server/call.h"
#include "server/task.h"

namespace twi::server {

/// The messages of a streaming call, both ways, with back-pressure: a write waits for the client.
class Stream {
 public:
  explicit Stream(Call* call) : call_(call) {}

  /// True when `message` is the client's next, false when there is none any more. INVALID_ARGUMENT
  /// when it is not of the method's type, RESOURCE_EXHAUSTED when it is too large; CANCELLED when
  /// the client is gone, of a method that answers once.
  Task<absl::StatusOr<bool>> Read(google::protobuf::Message* message);

  /// The same of the first, which must be there: else UNIMPLEMENTED.
  Task<absl::Status> ReadFirst(google::protobuf::Message* message);

  /// False when the client is gone.
  Task<bool> Write(const google::protobuf::Message& message);
  /// The same with a message's bytes.
  Task<bool> WriteBytes(std::string bytes);

  /// Of a method that is streamed to: what it answers when it ends with OK.
  void Answer(const google::protobuf::Message& message);

  Call& call() { return *call_; }

 private:
  Call* call_;
};

}  // namespace twi::server

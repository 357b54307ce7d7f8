#pragma once

#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "server/stream.h"
#include "server/task.h"

namespace twi::server {

/// A handwritten service: what is not one statement. Its methods are called on the same path as the
/// operations, by any thread and many at a time; what they get is validated.
class Service {
 public:
  virtual ~Service() = default;

  virtual const google::protobuf::ServiceDescriptor* descriptor() const = 0;

  /// Its methods run statements, whose times and errors are told by method.
  virtual bool runs_statements() const { return false; }

  /// Answers a unary method.
  virtual Task<absl::Status> Answer(Call& call, const google::protobuf::Message& request,
                                    google::protobuf::Message* response);

  /// Serves a streaming method until the client or the service ends it.
  virtual Task<absl::Status> Converse(const google::protobuf::MethodDescriptor& method,
                                      Stream stream);
};

}  // namespace twi::server

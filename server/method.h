#pragma once

#include <cstddef>
#include <limits>
#include <string>

#include "google/protobuf/descriptor.h"
#include "repositories/operation.h"
#include "server/metrics.h"
#include "server/validation.h"

namespace twi::server {

class Service;

/// A method that the server serves. Exactly one of `operation` and `service` answers it.
struct Method {
  const google::protobuf::MethodDescriptor* descriptor;
  const google::protobuf::Message* request;   ///< The prototype of its requests.
  const google::protobuf::Message* response;  ///< The prototype of its responses.
  Validator validator;
  /// The most bytes that a message may have. Streams of clients have gRPC's limit.
  size_t message_limit = std::numeric_limits<size_t>::max();
  const repositories::Operation* operation = nullptr;
  Service* service = nullptr;
  /// Answers of `operation` may be kept.
  bool cached = false;
  MethodMetrics* metrics = nullptr;
  /// Of `operation`, or of the statements that `service` runs for it.
  OperationMetrics* operation_metrics = nullptr;
  std::string name;  ///< `QuotesService/GetQuote`

  /// One response ends its calls: it does not stream out.
  bool answers_once() const { return !descriptor->server_streaming(); }
  bool streaming() const {
    return descriptor->client_streaming() || descriptor->server_streaming();
  }
};

}  // namespace twi::server

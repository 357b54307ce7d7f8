#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/fuzz/inputs.h"

namespace twi::fuzz {

/// What became of a call.
struct Ending {
  grpc::Status status;
  /// What is wrong with it, if something is.
  std::optional<std::string> fault;
};

/// Makes one call at a time.
class Caller {
 public:
  explicit Caller(const std::string& address);
  ~Caller();

  Ending Make(const Input& input);

 private:
  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
};

}  // namespace twi::fuzz

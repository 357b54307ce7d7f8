#pragma once

#include <google/protobuf/descriptor.h>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/chaos/fuzz/random.h"

namespace twi::fuzz {

/// How a call's messages are made.
enum class Kind { kRight, kMutated, kFilled, kBytes };
constexpr size_t kKinds = 4;

/// A call to be made.
struct Input {
  /// Null for a path that there is not.
  const google::protobuf::MethodDescriptor* method = nullptr;
  std::string path;
  Kind kind = Kind::kRight;
  std::vector<std::string> messages;
  std::multimap<std::string, std::string> metadata;
  std::chrono::milliseconds deadline{0};
  /// Whether the client says that nothing more comes.
  bool half_closes = true;
  bool compressed = false;
  /// When it gives up: after so long, or after so many answers.
  std::optional<std::chrono::milliseconds> cancels_after;
  std::optional<size_t> cancels_at;

  /// Whether gRPC answers it by closing the connection, with all that is on it.
  bool EndsConnection() const;
  /// Whether gRPC itself, on either side, may refuse it or end it, with a status of its own.
  bool BeyondGrpc() const;
  /// Whether the server must answer it before its deadline.
  bool MustBeAnswered() const;
  /// To be found again, and sent by hand.
  std::string Describe() const;
};

/// All methods of the program's services, with requests that are right.
class Inputs {
 public:
  /// `folders` have files `<service>.textproto` of cases. `token` is who calls; may be empty.
  Inputs(const std::vector<std::string>& folders, std::string token);

  /// Call number `index`: its method is the next one each time, its kind the next one each round.
  Input Make(uint64_t seed, uint64_t index) const;

  const std::vector<const google::protobuf::MethodDescriptor*>& methods() const { return methods_; }
  /// SQL that makes rows for the requests, as far as one goes beside the other.
  const std::vector<std::string>& given() const { return given_; }

 private:
  /// The requests of one call.
  using Requests = std::vector<std::string>;

  Requests Messages(const google::protobuf::MethodDescriptor& method, Kind kind,
                    Random& random) const;
  void AddMetadata(Input* input, Random& random) const;

  const std::string token_;
  std::vector<const google::protobuf::MethodDescriptor*> methods_;
  std::map<std::string, std::vector<Requests>> right_;
  std::vector<std::string> given_;
};

}  // namespace twi::fuzz

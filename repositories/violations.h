#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "google/rpc/error_details.pb.h"

namespace twi::repositories {

/// What is wrong with one field of a request.
struct Violation {
  std::string field;                          ///< The path from the request: `messages[2].content`.
  std::string description;                    ///< Reads on from the field's name: `must be set`.
  std::string_view reason = "FIELD_INVALID";  ///< As sql::Error takes it.

  /// Puts the name of the field that holds this one before its path; `index` is -1 for a singular
  /// field.
  void Prepend(std::string_view name, int index = -1);

  /// INVALID_ARGUMENT with a google.rpc.BadRequest of this violation.
  absl::Status ToStatus() const;
};

/// What is wrong with one field of a request, as a status; as in Violation.
inline absl::Status Wrong(std::string field, std::string description,
                          std::string_view reason = "FIELD_INVALID") {
  return Violation{std::move(field), std::move(description), reason}.ToStatus();
}

/// All violations of one request. As many are kept as fit into the trailers of a call; of the
/// others only the number.
class Violations {
 public:
  bool empty() const { return request_.field_violations().empty(); }
  /// Whether nothing more is kept: Add then may be given an empty field and description.
  bool full() const { return more_ > 0 || bytes_ >= kMostBytes; }
  void Add(std::string_view field, std::string_view description);

  /// OK when there is none; else INVALID_ARGUMENT with `reason`, in the words of the first
  /// violation, and with a google.rpc.BadRequest.
  absl::Status ToStatus(std::string_view reason = "FIELD_INVALID") const;

 private:
  /// Status details share 8 KiB of trailers with the message, the same details once more as base64
  /// and all other trailers: 4 KiB are theirs, less the other details.
  static constexpr size_t kMostBytes = 3000;

  google::rpc::BadRequest request_;
  size_t bytes_ = 0;
  int more_ = 0;
};

}  // namespace twi::repositories

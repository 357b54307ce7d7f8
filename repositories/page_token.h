#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"

namespace twi::repositories {

/// A hash of every field of a list's request but `page_token` and the page's size: equal for the
/// pages of one list. The size may change from page to page.
uint64_t HashArguments(const google::protobuf::Message& request);

/// Where a page ends. On the wire: base64url of version, hash of the operation's name, hash of the
/// arguments, key values with their lengths, and a checksum over it all. It is no secret and no
/// proof: a token made by hand shows nothing that its maker could not list.
struct PageToken {
  /// The last row's key columns in binary format.
  std::vector<std::string> key;

  std::string Encode(std::string_view operation, uint64_t arguments) const;
  /// INVALID_ARGUMENT, reason PAGE_TOKEN_INVALID, for a token that `operation` did not give out for
  /// these arguments, with the same number of keys.
  static absl::StatusOr<PageToken> Decode(std::string_view token, std::string_view operation,
                                          uint64_t arguments, int keys);
  /// What Decode says of a token that is none of ours.
  static absl::Status Damaged();
};

}  // namespace twi::repositories

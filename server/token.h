#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace twi::server {

/// A SHA-256. Equality takes the same time wherever two differ.
struct Digest {
  std::array<uint8_t, 32> bytes{};

  /// From 64 hexadecimal digits; INVALID_ARGUMENT, which does not repeat it, for anything else.
  static absl::StatusOr<Digest> Parse(std::string_view hex);
  static Digest Of(std::string_view text);
  /// In lower case.
  std::string ToString() const;

  bool operator==(const Digest& other) const;
  template <typename H>
  friend H AbslHashValue(H state, const Digest& digest) {
    return H::combine(std::move(state), digest.bytes);
  }
};

/// A token that nobody can guess: `twi_` and 192 random bits, in characters that need no quoting.
std::string NewToken();

}  // namespace twi::server

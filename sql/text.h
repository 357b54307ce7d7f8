#pragma once

#include <cstddef>
#include <string_view>

#include "absl/strings/string_view.h"

namespace twi {

// Debian builds abseil with a string_view of its own, which std's does not convert to or from.
inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

/// The beginning of `text`, of at most `limit` bytes and never the half of a UTF-8 character.
inline std::string_view Shortened(std::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (text[limit] & 0xC0) == 0x80) --limit;
  return text.substr(0, limit);
}

}  // namespace twi

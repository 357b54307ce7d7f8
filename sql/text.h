#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace twi {

// Debian builds abseil with a string_view of its own, which std's does not convert to or from.
inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace twi

#pragma once

#include <optional>
#include <string>

namespace twi::server {

/// What the file holds; nothing when it cannot be read.
std::optional<std::string> ReadFile(const std::string& path);

}  // namespace twi::server

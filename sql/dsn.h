#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace twi::sql {

/// Whether a connection string or URI holds a password. INVALID_ARGUMENT, which repeats nothing of
/// it, when it is neither.
absl::StatusOr<bool> HasPassword(const std::string& dsn);

}  // namespace twi::sql

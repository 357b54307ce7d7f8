#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace twi::server {

/// Gives the DSN of the database, or says why it cannot be had.
using OpenDsn = std::function<absl::StatusOr<std::string>()>;

/// `twi-data migrate ARGUMENTS` on the database that `open` gives, which is called only when the
/// arguments are right and need one. Each step taken is one line of `out`, errors
/// go to `err`. Returns the process's exit code: EX_OK; EX_USAGE; EX_UNAVAILABLE when the database
/// cannot be reached; EX_DATAERR when it differs from the migrations (`check`) or refuses one.
int MigrateCommand(const OpenDsn& open, std::vector<std::string> arguments, std::ostream& out,
                   std::ostream& err);

}  // namespace twi::server

#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace twi::server {

/// `twi-data migrate ARGUMENTS` on the database `dsn`. Each step taken is one line of `out`, errors
/// go to `err`. Returns the process's exit code: EX_OK; EX_USAGE; EX_UNAVAILABLE when the database
/// cannot be reached; EX_DATAERR when it differs from the migrations (`check`) or refuses one.
int MigrateCommand(const std::string& dsn, const std::vector<std::string>& arguments,
                   std::ostream& out, std::ostream& err);

}  // namespace twi::server

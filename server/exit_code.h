#pragma once

#include "absl/status/status.h"

namespace twi::server {

/// The exit code, of sysexits.h, of a command that an operator ran on a database: EX_OK; EX_USAGE
/// for arguments that mean nothing; EX_UNAVAILABLE when the database cannot be reached; EX_DATAERR
/// when it is not as it should be, or refused something.
int ExitCode(const absl::Status& status);

}  // namespace twi::server

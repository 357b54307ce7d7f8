#include "server/exit_code.h"

#include <sysexits.h>

namespace twi::server {

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return EX_OK;
    case absl::StatusCode::kInvalidArgument:
      return EX_USAGE;
    case absl::StatusCode::kUnavailable:
      return EX_UNAVAILABLE;
    case absl::StatusCode::kFailedPrecondition:
      return EX_DATAERR;
    default:
      return EX_SOFTWARE;
  }
}

}  // namespace twi::server

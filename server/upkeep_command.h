#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "server/migrate_command.h"

namespace twi::server {

/// `twi-data optimize base|additional`, `refresh-views` and `maintain`, whichever `words` are, on
/// the database that `open` gives, which is called only when the words are right. Each step is one
/// line of `out`, errors go to `err`. Returns the process's exit code: EX_OK; EX_USAGE;
/// EX_UNAVAILABLE when the database cannot be reached; EX_DATAERR when it lacks migrations or
/// refused a step, though the others were done.
int UpkeepCommand(const OpenDsn& open, const std::vector<std::string>& words, std::ostream& out,
                  std::ostream& err);

}  // namespace twi::server

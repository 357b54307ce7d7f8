#pragma once

#include <ostream>
#include <string>

#include "server/configuration.h"

namespace twi::server {

/// `twi-data check`: the catalog against the configured database, every problem a line. EX_OK,
/// EX_DATAERR when there are problems, EX_UNAVAILABLE without a database.
int CheckCommand(const Configuration& configuration, std::ostream& out, std::ostream& err);

/// `twi-data operations`: a table of every operation, what it reads and writes, how long its
/// answers may be kept, and its SQL.
int OperationsCommand(const Configuration& configuration, std::ostream& out, std::ostream& err);

/// `twi-data health`: asks the server at --listen whether it serves. EX_OK or EX_UNAVAILABLE.
int HealthCommand(const Configuration& configuration, std::ostream& out, std::ostream& err);

}  // namespace twi::server

#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "server/configuration.h"

namespace twi::server {

/// `twi-data check`: the catalog against the configured database, every problem a line. EX_OK,
/// EX_DATAERR when there are problems, EX_UNAVAILABLE without a database.
int CheckCommand(const Configuration& configuration, std::ostream& out, std::ostream& err);

/// `twi-data operations`: a line for every operation, what it reads and writes and how long its
/// answers may be kept; with `--sql` its statement beneath.
int OperationsCommand(const Configuration& configuration, std::ostream& out, std::ostream& err);

/// `twi-data health`: asks the server at --listen whether it serves. EX_OK or EX_UNAVAILABLE.
int HealthCommand(const Configuration& configuration, std::ostream& out, std::ostream& err);

/// `twi-data token new PRINCIPAL`: a token that nobody has, and the line of the access file that
/// makes it the principal's. EX_OK, or EX_USAGE.
int TokenCommand(const std::vector<std::string>& words, std::ostream& out, std::ostream& err);

}  // namespace twi::server

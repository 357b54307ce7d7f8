#pragma once

#include "server/configuration.h"

namespace twi::server {

/// `twi-data serve`: the life of the process. Starts the database if it is ours, answers probes and
/// scrapes, waits for a migrated schema, checks the catalog, serves, and on SIGTERM or SIGINT
/// drains and ends. Returns the exit code: EX_OK after a signal, EX_CONFIG for a catalog that does
/// not fit, EX_UNAVAILABLE for an address or a database that cannot be had.
int Serve(const Configuration& configuration);

}  // namespace twi::server

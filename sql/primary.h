#pragma once

#include <string>

#include "absl/status/statusor.h"

struct pg_conn;

namespace twi::sql {

/// Connects with libpq to a server that takes writes, blocking for `timeout_seconds` at most for
/// each address. A dead peer is noticed within 10 s, whether we wait for it or it for us.
/// `replication` is for its stream of changes, which is then in UTF-8. The caller finishes it,
/// whatever became of it.
pg_conn* ConnectToPrimary(const std::string& dsn, const std::string& timeout_seconds,
                          const char* application_name, bool replication);

/// Which PostgreSQL the database is: `15.8`. UNAVAILABLE when it cannot be reached.
absl::StatusOr<std::string> PostgresVersion(const std::string& dsn);

}  // namespace twi::sql

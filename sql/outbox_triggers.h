#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace twi::sql {

/// Makes or mends the outbox (outbox.h), in the schema `twi_data`, and its triggers on every table
/// of the schema that the role owns. Several may do so at once. A table that is in use for longer
/// than a few seconds is left as it is, rather than that others wait behind us: the answer names
/// such tables.
///
/// What it makes stays. While nobody is registered, a statement costs a look at a sequence; `drop
/// schema twi_data cascade` takes it all away.
///
/// FAILED_PRECONDITION with the database's words when the role may not; UNAVAILABLE.
absl::StatusOr<std::vector<std::string>> PrepareOutbox(const std::string& dsn);

/// Of a table, $1, as kTable and kIdentity in dependencies.cc: whether the triggers tell of all
/// that happens to it, and of which columns. $2 is the schema of their functions.
///
/// No statement trigger fires for what a subscription applies, nor for a table's rows when its
/// parent by inheritance is written to.
extern const char* const kToldByTriggers;
extern const char* const kColumnsOfTriggers;

}  // namespace twi::sql

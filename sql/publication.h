#pragma once

#include <string>

#include "absl/status/status.h"

namespace twi::sql {

/// Makes or mends the publication by which changes are followed (kPublication): every table of the
/// schema that has a primary key, whole rows. A superuser's call also makes the event triggers that
/// tell of changes to the schema in the order of commits; without them they are found within a
/// second.
///
/// A published table without a replica identity would refuse other programs' updates, and so would
/// one whose list of columns does not cover it: such tables are left out, and there are no lists.
///
/// FAILED_PRECONDITION with the database's words when the role may not; UNAVAILABLE.
absl::Status PreparePublication(const std::string& dsn);

}  // namespace twi::sql

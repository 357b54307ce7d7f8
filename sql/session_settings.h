#pragma once

#include "absl/types/span.h"
#include "sql/connection.h"
#include "sql/statement.h"

namespace twi::sql {

/// What every connection of ours is, whatever the role's or the database's defaults say. Not
/// options of the start-up: PgBouncer refuses those.
Statement SessionSettings(const ConnectionOptions& options);

/// What undoes all that a statement can leave behind, but for the settings, which come last.
absl::Span<const Statement> Resets();

}  // namespace twi::sql

#pragma once

#include <vector>

#include "absl/status/status.h"
#include "sql/blocking.h"
#include "sql/migrate.h"

namespace twi::sql {

/// Whether tables are there that the migrations would make, though none is applied. Throws what
/// libpqxx does.
bool IsAdoptionDue(BlockingConnection& connection, const std::vector<Migration>& migrations);

/// Turns a database that the bot made for itself into what the migrations make, in place. That they
/// are applied is for the caller to record.
///
/// No row is lost: one that a key, a check, NOT NULL or a foreign key refuses goes, whole, to the
/// table twi_data_rejected. What somebody else has added, a table, a column, an index, stays.
///
/// It goes in small transactions, each of which does nothing where it was done before: who is cut
/// short begins again. None waits longer than ten seconds for a lock that others would queue up
/// behind; it is tried five times. Others may read and write meanwhile: a table is theirs but for
/// moments, unless its rows are written anew for a new type (those of `messages` are not).
///
/// FAILED_PRECONDITION when the tables are not the bot's, and then nothing is changed, or with the
/// database's words when it refuses a step; UNAVAILABLE when it goes away. REQUIRES: `connection`
/// has the lock of the migrations, and none is applied.
absl::Status Adopt(BlockingConnection& connection, const std::vector<Migration>& migrations,
                   const Migrations::Report& report);

}  // namespace twi::sql

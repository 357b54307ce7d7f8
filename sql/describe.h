#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sql/errors.h"
#include "sql/statement.h"

namespace twi::sql {

/// What the database said to one statement: its description, or why it refuses it.
struct Described {
  Description description;
  DatabaseError error;     ///< Its message is "" when the statement is fine.
  int error_position = 0;  ///< Character of the text that the error is about, from 1; 0: unknown.
};

/// Prepares every text on a connection of its own, after it has run the script `before`, and
/// returns what the database makes of each, in order. Blocks. UNAVAILABLE when the database cannot
/// be reached.
///
/// libpq, not libpqxx: libpqxx 6 cannot describe a prepared statement.
absl::StatusOr<std::vector<Described>> Describe(const std::string& dsn,
                                                const std::vector<std::string>& texts,
                                                const std::string& before = "");

}  // namespace twi::sql

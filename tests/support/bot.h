#pragma once

#include <string>
#include <vector>

#include "tests/support/database.h"

namespace twi::testing {

/// Makes an empty database one of the bot's: runs scripts of `tests/sql/bot` (`schema`, `rows`, …),
/// or fails the test's process.
void MakeBots(const Database& database, const std::vector<std::string>& scripts);

/// `users 3` of every table, without the service's own; with the rows of it that were rejected.
std::vector<std::string> Counts(const Database& database);

}  // namespace twi::testing

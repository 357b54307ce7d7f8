#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sql/changes.h"

namespace twi::checker {

/// Ways to get it wrong that the checker has to find, by name. Each stands for a rule that the
/// source of changes or its listener would break.
const std::vector<std::string>& Mutants();

/// The changes of a database, followed in a way, as a mutant hears of them; "" is none.
std::unique_ptr<sql::ChangeSource> Follow(const std::string& dsn, sql::ChangesFrom from,
                                          const std::string& mutant, sql::ChangeListener* listener);

}  // namespace twi::checker

#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace twi::sql {

/// What a database says of its relations and functions that tells how many rows statements give.
struct Dictionary {
  struct Relation {
    std::vector<std::string> columns;
    std::set<std::string> not_null;
    /// What no two rows have in common, each a list of expressions as SQL: unique indexes that hold
    /// for all rows and at any time, so none that are partial, deferrable or invalid.
    std::vector<std::vector<std::string>> keys;
  };
  struct Function {
    bool aggregate = false;
    bool set_returning = false;
    bool changes = false;     ///< Volatile: two calls alike may give two values.
    bool one_column = false;  ///< In FROM it has one column.
  };

  /// Those in the search path by their names alone, and all with their schema's:
  /// `public.messages`.
  std::map<std::string, Relation> relations;
  /// By name without a schema; of several with one name what holds for all of them. An aggregate is
  /// one only when all of them are.
  std::map<std::string, Function> functions;
};

/// Runs the script `before` first, on the connection that it reads by. Blocks. UNAVAILABLE when the
/// database cannot be reached.
absl::StatusOr<Dictionary> ReadDictionary(const std::string& dsn, const std::string& before = "");

}  // namespace twi::sql

#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "sql/dictionary.h"

namespace twi::sql {

/// `column = $parameter`.
struct Pin {
  std::string column;
  int parameter = 0;

  bool operator==(const Pin&) const = default;
};

/// A place where a statement reads from a relation. Rows that do not fulfil all its pins have no
/// part in the statement's result, whatever else they hold.
struct Reading {
  std::string relation;  ///< As written.
  std::vector<Pin> pins;
};

/// Every place where the statement reads from a relation, by the relation's name as written. One
/// that is not understood has no pins. INVALID_ARGUMENT when the text is not SQL.
absl::StatusOr<std::map<std::string, std::vector<Reading>>> FindReadings(
    std::string_view text, const Dictionary& dictionary);

}  // namespace twi::sql

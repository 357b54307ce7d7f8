#pragma once

#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace twi::sql {

/// What the answer of a text may depend on beside the rows of its relations and what its functions
/// say of themselves: what Analysis (sql/analysis.h) does not see. For texts of anybody's.
///
/// Text becomes a date or time by what it says, and `'now'` says another one each time. So what is
/// cast to one must be no text, but for constants, which are looked at here, and placeholders, for
/// whose values there is NamesMovingTime.
struct SideInputs {
  /// What makes it depend on more for certain, or cannot be understood; "" for nothing.
  std::string flaw;
  /// Columns, without their relations, that are cast so that they must hold no text.
  std::set<std::string> timed;
  /// Operators, by name: one that somebody made may depend on anything.
  std::set<std::string> operators;
};

/// INVALID_ARGUMENT when the text is not SQL.
absl::StatusOr<SideInputs> FindSideInputs(std::string_view text);

/// Whether a value is, or has in it, a word that stands for another time each time it is read.
bool NamesMovingTime(std::string_view value);

}  // namespace twi::sql

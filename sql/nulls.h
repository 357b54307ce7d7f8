#pragma once

#include <functional>
#include <optional>

#include "sql/tree.h"

namespace twi::sql {

/// Whether NULL may come of an expression, for all that can be shown. `known` says it of columns
/// and whatever else is known, and nothing of the rest. Texts are what lower() and upper() are
/// taken to be about: those of a range may be NULL.
bool MayBeNull(const Json& expression,
               const std::function<std::optional<bool>(const Json&)>& known);

}  // namespace twi::sql

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "cache/coherence.h"
#include "sql/dependencies.h"

namespace twi::server {

/// What an answer depends on: a table's rows with one value in a column or, without a column, all.
struct Reliance {
  const sql::TableDependency* table;
  std::string column;
  std::string value;
};

/// What a placeholder is given, from 1, as PostgreSQL prints it; `number`: which is a whole number.
/// None for NULL, and where that is not known.
using PlaceholderText = absl::FunctionRef<std::optional<std::string>(int placeholder, bool number)>;

/// Everything that the answer to a request depends on. `dependencies` are the statement's, and
/// outlive the result. Whole tables when there would be more tags than an entry may have.
std::vector<Reliance> Reliances(const sql::Dependencies& dependencies, PlaceholderText text);

/// The tags whose changes make the answer wrong.
std::vector<cache::Tag> TagsOf(const std::vector<Reliance>& reliances);

}  // namespace twi::server

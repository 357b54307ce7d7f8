#pragma once

#include <string>
#include <vector>

#include "cache/coherence.h"
#include "google/protobuf/message.h"
#include "repositories/operation.h"
#include "sql/dependencies.h"

namespace twi::server {

/// What an answer depends on: a table's rows with one value in a column or, without a column, all.
struct Reliance {
  const sql::TableDependency* table;
  std::string column;
  std::string value;
};

/// Everything that the answer to a request depends on. `dependencies` are the operation's, and
/// outlive the result. Whole tables when there would be more tags than an entry may have.
std::vector<Reliance> Reliances(const sql::Dependencies& dependencies,
                                const repositories::Operation& operation,
                                const google::protobuf::Message& request);

/// The tags whose changes make the answer wrong.
std::vector<cache::Tag> TagsOf(const std::vector<Reliance>& reliances);

}  // namespace twi::server

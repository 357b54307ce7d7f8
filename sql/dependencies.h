#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "sql/analysis.h"
#include "sql/rows.h"

namespace twi::sql {

/// A table that an answer depends on.
struct TableDependency {
  Oid table = 0;  ///< For a partition, the table that it is of.
  std::string name;
  /// The columns of its replica identity: their old and new values are told of every changed row.
  std::vector<std::string> identity;
};

/// What the answers of a statement depend on.
struct Dependencies {
  std::vector<TableDependency> tables;
  /// By the names that the statement calls them.
  absl::flat_hash_map<std::string, size_t> by_name;
  /// Why answers cannot be kept; "" when they can.
  std::string refusal;
  /// What in the statement makes its answers more than what the tables hold, whatever is told of
  /// these; "" for nothing. It is a refusal, too.
  std::string flaw;
};

/// Finds out what each statement depends on in the database of `dsn`: views are followed to their
/// tables, and so are functions in SQL. In order. Blocks. UNAVAILABLE when the database cannot be
/// asked.
///
/// Answers cannot be kept of a statement that calls a volatile function, or one whose value depends
/// on more than the tables (now(), current_user) or that cannot be looked into; nor when it reads
/// what no change is told of: system catalogs, tables that are not published, foreign, unlogged or
/// temporary ones, tables with row security, materialized views when their refreshes are not told.
absl::StatusOr<std::vector<Dependencies>> FindDependencies(
    const std::string& dsn, const std::vector<const Analysis*>& statements);

}  // namespace twi::sql

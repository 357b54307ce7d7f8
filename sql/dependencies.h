#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "sql/changes.h"
#include "sql/rows.h"
#include "sql/snapshot.h"
#include "sql/statement.h"

namespace twi::sql {

/// A table that an answer depends on.
struct TableDependency {
  /// Only rows with a placeholder's value in a column count. The old and the new values of every
  /// changed row are told, as the same text exactly if they are equal.
  struct Key {
    std::string column;
    bool number = false;  ///< It holds whole numbers, otherwise texts.
    int parameter = 0;    ///< The placeholder's number, from 1.
  };

  Oid table = 0;  ///< For a partition, the table that it is of.
  std::string name;
  /// A key for each place where the statement reads the table; none when all rows count.
  std::vector<Key> keys;
};

/// What the answers of a statement depend on.
struct Dependencies {
  std::vector<TableDependency> tables;
  /// Why answers cannot be kept; "" when they can.
  std::string refusal;
  /// What in the statement makes its answers more than what the tables hold, whatever is told of
  /// these; "" for nothing. It is a refusal, too.
  std::string flaw;
};

/// What statements depend on, in their order.
struct AllDependencies {
  Snapshot snapshot;  ///< All that it sees of the schema is in them.
  std::vector<Dependencies> each;
};

/// Finds out what each statement depends on in the database of `dsn`: views are followed to their
/// tables, and so are functions in SQL. Blocks. UNAVAILABLE when the database cannot be
/// asked.
///
/// What is told of a table is what `from` tells of it; what kNone would is taken for the stream.
///
/// Answers cannot be kept of a statement that calls a volatile function, or one whose value depends
/// on more than the tables (now(), current_user) or that cannot be looked into; nor when it reads
/// what no change is told of: system catalogs, tables that are not published or lack a trigger,
/// foreign, unlogged or temporary ones, tables with row security, materialized views when their
/// refreshes are not told.
///
/// A raw statement may be anybody's: where it is not clear that it depends on nothing else
/// (sql/side_inputs.h), its answers cannot be kept either.
absl::StatusOr<AllDependencies> FindDependencies(const std::string& dsn,
                                                 const std::vector<Statement>& statements,
                                                 ChangesFrom from);

}  // namespace twi::sql

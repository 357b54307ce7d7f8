#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "sql/dictionary.h"
#include "sql/tree.h"

namespace twi::sql {

/// What can be shown of a statement's rows by its text and a database's keys, without running it.
/// What is shown holds as long as the keys do; what is not shown may hold all the same.
class Proof {
 public:
  /// `text` is one statement; `dictionary` outlives the proof. INVALID_ARGUMENT when it is not SQL.
  static absl::StatusOr<Proof> Make(std::string_view text, const Dictionary* dictionary);

  /// "" when at most one row comes of all those that are alike in the result columns numbered
  /// `fixed`, or of all when none is; else the name of what there may be several of.
  ///
  /// One row is: `limit 1`; aggregates without `group by`; VALUES of one row; a select without
  /// FROM; and where everything it reads from is one row, because all columns or expressions of a
  /// unique index are compared by `=` with placeholders, constants or columns of what is one row
  /// itself, or because it is a subquery or a query of the WITH of which there is one row. What an
  /// UPDATE or DELETE returns is one row when its target is.
  ///
  /// Of a set, `apart` are the paths, `message.id`, that no two of its calls are alike in all of.
  std::string Several(const std::set<int>& fixed = {},
                      const std::vector<std::string>& apart = {}) const;

  /// Whether NULL may be found in the result column, for all that can be shown.
  bool MayBeNull(int column) const;

  /// The result column that holds `expression`, an expression as the statement's own are; -1 for
  /// none. A column's name stands for the result column of that name if that is the same column.
  int ColumnOf(const std::string& expression) const;

  /// Whether the rows are in the order of result columns, as many as there are.
  bool IsOrderedBy(const std::vector<std::string>& expressions, bool descending) const;

 private:
  Proof(Json statements, const Dictionary* dictionary)
      : statements_(std::move(statements)), dictionary_(dictionary) {}

  /// Whether a column of the statement, or another expression of it, is the wanted one.
  bool AreSame(const Json& own, const Json& wanted) const;

  Json statements_;
  const Dictionary* dictionary_;
};

/// Whether a text is one expression, without a name behind it.
bool IsExpression(const std::string& text);

}  // namespace twi::sql

#pragma once

#include <cstddef>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "sql/prover.h"
#include "sql/readings.h"

namespace twi::sql {

/// What one statement reads from, and which of it can be one row only by the statement's
/// conditions.
///
/// A column is fixed when all rows of the result have one value in it, and a source is one when
/// they all hold one and the same row of it, both leaving aside where an outer join has put NULLs:
/// a plain comparison with those is never true.
class Sources {
 public:
  Sources(Prover* prover, const Scope* scope) : prover_(*prover), scope_(scope) {}

  /// The relation that a statement writes. It comes first.
  void AddTarget(const Json& relation);
  void AddFrom(const Json& items);
  void AddWhere(const Json& condition);
  /// Says that `expression` has one value, not NULL, in all rows.
  void Fix(const Json& expression);
  /// Draws the conclusions. To be called when everything is added.
  void Solve();

  bool IsOne(size_t source) const { return sources_[source].one; }
  /// The first source of which there may be several rows; "" when there is none.
  std::string Several() const;
  /// Whether `expression` has one value in all rows, NULLs of outer joins included.
  bool IsFixed(const Json& expression) const { return IsFixed(expression, false); }
  /// Whether a ColumnRef's content is a column of these.
  bool Has(const Json& reference) const { return Find(reference).source >= 0; }
  /// The number of the source that a ColumnRef's content is a column of; -1 for none.
  int SourceOf(const Json& reference) const { return Find(reference).source; }
  bool MayBeNull(const Json& expression) const;
  /// Each relation that is read from, with the columns that are compared with placeholders where
  /// rows that are not equal have no part in the result.
  std::vector<Reading> Readings() const;

 private:
  struct Source {
    std::string name;
    std::string read;  ///< The relation, as written.
    const Dictionary::Relation* relation = nullptr;
    Query query;
    std::vector<std::string> columns;
    bool whole = false;      ///< It has no columns but these.
    std::string ordinality;  ///< Its column that numbers the rows, or "".
    /// What no two rows have in common, each an expression as SQL, when they are a set's calls.
    std::vector<std::string> calls;
    bool single = false;          ///< It is a function's one row.
    const Json* needs = nullptr;  ///< What it takes from sources beside it.
    bool nullable = false;        ///< An outer join may put NULLs for it.
    bool one = false;
    std::set<std::string> fixed;
  };
  /// Sources from one number up to another.
  struct Range {
    size_t begin;
    size_t end;
  };
  /// `left = right`; it holds for each row of a source of the range that is not NULLs. Null: some
  /// one value.
  struct Equality {
    const Json* left;
    const Json* right;
    Range range;
  };
  struct Found {
    int source = -1;
    std::string column;
    bool outside = false;  ///< It belongs to a statement around this one.
  };

  Range AddItem(const Json& item, bool nullable);
  void AddRelation(const Json& relation, Source source);
  void AddFunction(const Json& function, Source source);
  Range AddJoin(const Json& join, bool nullable);
  void AddConditions(const Json& condition, Range range);
  void AddUsing(const Json& names, Range left, Range right, Range range);

  Found Find(const Json& reference) const;
  /// Which calls of functions count when an expression is looked at.
  enum class Calls { kAll, kChanging, kNone };
  /// How an expression is looked at.
  struct View {
    Calls calls = Calls::kAll;
    size_t before = 0;                   ///< Only sources up to this number can be meant.
    std::vector<const Sources*> inside;  ///< What subqueries around the present place read from.
  };
  bool IsFixed(const Json& node, bool plain) const;
  bool AreFixed(const Json& node, const View& view, bool plain = false) const;
  bool AreItemsFixed(const Json& node, const View& view, bool plain) const;
  bool IsColumnFixed(const Json& reference, const View& view, bool plain) const;
  bool IsCallFixed(const Json& call, Calls calls) const;
  bool FixColumns();
  bool CanBeOne(size_t index);
  bool IsKeyFixed(size_t index, const std::string& key) const;
  bool BelongsTo(const Json& expression, size_t index) const;
  bool ColumnMayBeNull(const Json& reference) const;

  Prover& prover_;
  const Scope* scope_;
  std::vector<Source> sources_;
  std::vector<Equality> equalities_;
  std::vector<Json> not_null_;    ///< Bare expressions that a row of the result has no NULL in.
  std::deque<Json> made_;         ///< Columns of USING.
  bool merges_outwards_ = false;  ///< RIGHT or FULL: a merged column may be the other one's.
};

}  // namespace twi::sql

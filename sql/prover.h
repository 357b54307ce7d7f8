#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sql/dictionary.h"
#include "sql/tree.h"

namespace twi::sql {

struct Scope;

/// A statement within a statement or at its top: a node, and the names that it sees.
struct Query {
  const Json* statement = nullptr;
  const Scope* scope = nullptr;
};

/// A query's name in a WITH and, outwards, those visible beside it. A null pointer is the scope
/// without any.
struct Scope {
  std::string name;
  Query query;
  std::vector<std::string> columns;  ///< Names that the WITH gives to its first columns.
  const Scope* outer;
};

/// The texts of a list of strings.
std::vector<std::string> Strings(const Json& list);

/// An expression without what does not change its value: places in the text, a function's schema,
/// casts of constants and to text, and `qualifier` before columns.
Json Bare(const Json& expression, std::string_view qualifier);

/// Shows for the statements of one tree, from its top down, how many rows they give. What it does
/// not understand is not shown, never guessed.
class Prover {
 public:
  /// `apart` are paths, `message.id`, that no two elements of the array $1 are alike in all of.
  explicit Prover(const Dictionary* dictionary, std::vector<std::string> apart = {})
      : dictionary_(*dictionary), apart_(std::move(apart)) {}

  /// Whether at most one row comes of all those that have equal values, none NULL, in the result
  /// columns numbered `fixed`; without any, of all.
  bool IsOneRow(const Query& query, const std::set<int>& fixed);
  bool MayBeNull(const Query& query, int column);
  /// The name and value of each result column; a name is "" where the database makes one up.
  static std::vector<std::pair<std::string, const Json*>> Columns(const Json& statement);

  /// What several rows may come of, after IsOneRow has found so.
  const std::string& several() const { return several_; }

  const Dictionary& dictionary() const { return dictionary_; }
  /// What keeps the calls of a set apart whose requests are in `column`, as SQL.
  std::vector<std::string> KeysOfCalls(const std::string& column) const;
  /// What is known of the function that a FuncCall's content calls; null for nothing.
  const Dictionary::Function* FunctionOf(const Json& call) const;
  /// An expression of the dictionary as a tree, bare.
  const Json& Expression(const std::string& sql);
  static const Scope* Find(const Scope* scope, const std::string& name);
  /// The scope of a statement with this WITH. Each of its queries sees the names before its own;
  /// after RECURSIVE all of them.
  const Scope* Open(const Json& with, const Scope* scope);

 private:
  bool IsOneSelect(const Json& select, const Scope* scope, const std::set<int>& fixed);
  /// Of a union: one of `fixed` is another text in each of its branches, of which each gives one
  /// row.
  bool IsOneUnited(const Json& select, const Scope* scope, const std::set<int>& fixed);
  bool IsOneWritten(const std::string& kind, const Json& statement, const Scope* scope,
                    const std::set<int>& fixed);
  bool SelectMayBeNull(const Json& select, const Scope* scope, int column);
  bool Several(std::string what);
  /// Whether an expression, subqueries aside, calls an aggregate or a function that returns a set.
  bool Aggregates(const Json& expression) const;
  bool ReturnsSet(const Json& expression) const;

  const Dictionary& dictionary_;
  const std::vector<std::string> apart_;
  std::deque<Scope> scopes_;
  std::map<std::string, Json> expressions_;
  std::set<std::pair<const Json*, int>> asked_;  ///< By MayBeNull, and not answered yet.
  std::string several_;
};

}  // namespace twi::sql

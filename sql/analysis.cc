#include "sql/analysis.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "sql/parser.h"
#include "sql/text.h"
#include "sql/tree.h"

namespace twi::sql {
namespace {

using Kind = Analysis::Kind;

/// `current_time` of SVFOP_CURRENT_TIME and SVFOP_CURRENT_TIME_N.
std::string ValueFunctionName(const std::string& operation) {
  return absl::AsciiStrToLower(absl::StripSuffix(absl::StripPrefix(operation, "SVFOP_"), "_N"));
}

/// `'today'::date`, which is another at another time.
bool IsTimeOfCast(const Json& cast) {
  static const std::set<std::string> kTimes = {"now", "today", "tomorrow", "yesterday"};
  const std::string word = Text(Member(Member(Member(cast, "arg"), "A_Const"), "sval"), "sval");
  return kTimes.contains(absl::AsciiStrToLower(absl::StripAsciiWhitespace(ToAbsl(word)))) &&
         IsCast({{"TypeCast", cast}}, {"date", "time", "timetz", "timestamp", "timestamptz"});
}

/// Whether a column reference or a chain of subscripts and fields ends in `*`.
bool EndsInStar(const Json& expression) {
  for (const auto& [node, list] :
       {std::pair("ColumnRef", "fields"), std::pair("A_Indirection", "indirection")}) {
    const Json& parts = Member(Member(expression, node), list);
    if (!parts.empty() && parts.back().contains("A_Star")) return true;
  }
  return false;
}

/// A CTE's name and, outwards, those visible beside it. A null pointer is the scope without any.
struct Scope {
  std::string name;
  const Scope* outer;
};

bool Names(const Scope* scope, std::string_view name) {
  for (; scope != nullptr; scope = scope->outer) {
    if (scope->name == name) return true;
  }
  return false;
}

/// Collects what stands anywhere in a tree. It keeps a list of what is still to visit instead of
/// recursing: a tree may be tens of thousands of levels deep.
class Inventory {
 public:
  void Take(const Json& tree) {
    Visit("", tree, nullptr);
    while (!pending_.empty()) {
      const Item item = pending_.back();
      pending_.pop_back();
      Open(item);
    }
  }

  void CopyTo(Analysis& analysis) {
    analysis.reads.assign(reads_.begin(), reads_.end());
    analysis.writes.assign(writes_.begin(), writes_.end());
    analysis.functions.assign(functions_.begin(), functions_.end());
    analysis.locks = locks_;
    analysis.star = star_;
  }

 private:
  struct Item {
    std::string_view key;  ///< The node's type, or the field that holds it.
    const Json* node;
    const Scope* scope;
  };

  void Visit(std::string_view key, const Json& node, const Scope* scope) {
    if (node.is_structured()) pending_.push_back({key, &node, scope});
  }

  void Open(const Item& item) {
    const auto& [key, node, scope] = item;
    if (node->is_array()) {
      for (const Json& element : *node) Visit(key, element, scope);
      return;
    }
    Note(key, *node, scope);
    // The names after FOR UPDATE OF are aliases.
    if (key == "RangeVar" || key == "LockingClause") return;
    if (key == "TruncateStmt") return Truncate(*node);

    const Scope* inner = OpenWith(Member(*node, "withClause"), scope);
    for (const auto& [name, child] : node->items()) {
      if (name == "withClause") continue;
      if (child.contains("relname") && name != "RangeVar") {
        Target(key, *node, child);
      } else {
        Visit(name, child, inner);
      }
    }
  }

  void Note(std::string_view key, const Json& node, const Scope* scope) {
    if (key == "RangeVar") {
      const std::string name = RelationName(node);
      if (node.contains("schemaname") || !Names(scope, name)) reads_.insert(name);
    } else if (key == "FuncCall" || key == "funccall") {
      functions_.insert(FunctionName(Member(node, "funcname")));
    } else if (key == "TypeCast" && IsTimeOfCast(node)) {
      functions_.insert("now");
    } else if (key == "RangeTableSample") {
      functions_.insert(FunctionName(Member(node, "method")));
    } else if (key == "SQLValueFunction") {
      functions_.insert(ValueFunctionName(Text(node, "op")));
    } else if (key == "LockingClause") {
      locks_ = true;
    } else if (key == "ResTarget") {
      star_ = star_ || EndsInStar(Member(node, "val"));
    }
  }

  /// A statement's own relation, which stands in a field of it and never is a CTE.
  void Target(std::string_view statement, const Json& node, const Json& relation) {
    const bool copy_out = statement == "CopyStmt" && !IsTrue(node, "is_from");
    if (!copy_out) writes_.insert(RelationName(relation));
    if (copy_out || statement == "UpdateStmt" || statement == "DeleteStmt" ||
        statement == "MergeStmt" || node.contains("onConflictClause")) {
      reads_.insert(RelationName(relation));
    }
  }

  void Truncate(const Json& statement) {
    for (const Json& relation : Member(statement, "relations")) {
      writes_.insert(RelationName(Member(relation, "RangeVar")));
    }
  }

  /// Visits the queries of a WITH and gives the scope of the statement it belongs to. Each query
  /// sees the names before its own; after RECURSIVE all of them.
  const Scope* OpenWith(const Json& with, const Scope* scope) {
    const Json& ctes = Member(with, "ctes");
    const bool recursive = IsTrue(with, "recursive");
    std::vector<const Scope*> before;
    for (const Json& cte : ctes) {
      before.push_back(scope);
      scope = &scopes_.emplace_back(Scope{Text(Member(cte, "CommonTableExpr"), "ctename"), scope});
    }
    for (size_t i = 0; i < ctes.size(); ++i) {
      Visit("ctequery", Member(Member(ctes[i], "CommonTableExpr"), "ctequery"),
            recursive ? scope : before[i]);
    }
    return scope;
  }

  std::vector<Item> pending_;
  std::deque<Scope> scopes_;
  std::set<std::string> reads_;
  std::set<std::string> writes_;
  std::set<std::string> functions_;
  bool locks_ = false;
  bool star_ = false;
};

Kind KindOf(std::string_view node) {
  if (node == "SelectStmt") return Kind::kSelect;
  if (node == "InsertStmt") return Kind::kInsert;
  if (node == "UpdateStmt") return Kind::kUpdate;
  if (node == "DeleteStmt") return Kind::kDelete;
  if (node == "MergeStmt") return Kind::kMerge;
  return Kind::kOther;
}

/// INTO stands in the first select of a UNION.
bool SelectsInto(const Json& select) {
  const Json* first = &select;
  while (first->contains("larg")) first = &Member(*first, "larg");
  return first->contains("intoClause");
}

void DescribeOutermost(const Json& statement, Analysis& analysis) {
  const auto node = statement.begin();
  analysis.shows = node.key() == "ExplainStmt" || node.key() == "VariableShowStmt";
  analysis.kind = KindOf(node.key());
  if (analysis.kind == Kind::kSelect) {
    analysis.returns_rows = !SelectsInto(*node);
  } else {
    analysis.returns_rows = node->contains("returningList");
  }
}

}  // namespace

absl::StatusOr<Analysis> Analyse(std::string_view text) {
  const absl::StatusOr<Json> statements = ParseStatements(text);
  if (!statements.ok()) return statements.status();
  absl::StatusOr<std::string> fingerprint = Fingerprint(text);
  if (!fingerprint.ok()) return fingerprint.status();

  Analysis analysis;
  analysis.fingerprint = *std::move(fingerprint);
  analysis.statements = static_cast<int>(statements->size());
  if (!statements->empty()) DescribeOutermost(statements->back(), analysis);
  for (const Json& statement : *statements) {
    analysis.controls_transaction |= statement.contains("TransactionStmt");
    const Json& copy = Member(statement, "CopyStmt");
    analysis.copies |= copy.is_object() && !copy.contains("filename");
  }
  Inventory inventory;
  inventory.Take(*statements);
  inventory.CopyTo(analysis);
  return analysis;
}

}  // namespace twi::sql

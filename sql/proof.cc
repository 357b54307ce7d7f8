#include "sql/proof.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "sql/errors.h"
#include "sql/prover.h"
#include "sql/sources.h"

namespace twi::sql {
namespace {

/// The expression that a text is; null when it is none.
Json ParseExpression(const std::string& text) {
  const auto parsed = ParseStatements(absl::StrCat("select ", text));
  if (!parsed.ok() || parsed->size() != 1) return {};
  const Json& select = Member(parsed->front(), "SelectStmt");
  const Json& targets = Member(select, "targetList");
  if (targets.size() != 1 || select.contains("fromClause")) return {};
  const Json& target = Member(targets[0], "ResTarget");
  return target.contains("name") ? Json() : Bare(Member(target, "val"), "");
}

/// The name of a column, without what it is a column of; "" for other expressions.
std::string ColumnName(const Json& expression) {
  return FromEnd(Member(Member(expression, "ColumnRef"), "fields"), 0);
}

/// What a column is a column of, as written; "" for none.
std::string Qualifier(const Json& expression) {
  return FromEnd(Member(Member(expression, "ColumnRef"), "fields"), 1);
}

}  // namespace

bool IsExpression(const std::string& text) { return !ParseExpression(text).is_null(); }

absl::StatusOr<Proof> Proof::Make(std::string_view text, const Dictionary* dictionary) {
  auto statements = ParseStatements(text);
  if (!statements.ok()) return statements.status();
  if (statements->size() != 1) {
    return Error(absl::StatusCode::kInvalidArgument, "INTERNAL", "is not one statement");
  }
  return Proof(*std::move(statements), dictionary);
}

std::string Proof::Several(const std::set<int>& fixed,
                           const std::vector<std::string>& apart) const {
  Prover prover(dictionary_, apart);
  return prover.IsOneRow({&statements_.front(), nullptr}, fixed) ? "" : prover.several();
}

bool Proof::MayBeNull(int column) const {
  return Prover(dictionary_).MayBeNull({&statements_.front(), nullptr}, column);
}

bool Proof::AreSame(const Json& own, const Json& wanted) const {
  if (own == wanted) return true;
  if (ColumnName(own).empty() || ColumnName(own) != ColumnName(wanted)) return false;
  if (Qualifier(own).empty() || Qualifier(wanted).empty()) return true;
  // `wanted` may be the column as a subquery calls it, but not that of another source beside.
  Prover prover(dictionary_);
  Sources sources(&prover, nullptr);
  sources.AddFrom(Member(Member(statements_.front(), "SelectStmt"), "fromClause"));
  return !sources.Has(Member(wanted, "ColumnRef"));
}

int Proof::ColumnOf(const std::string& expression) const {
  const Json wanted = ParseExpression(expression);
  const auto columns = Prover::Columns(statements_.front());
  if (wanted.is_null()) return -1;
  int found = -1;
  for (size_t i = 0; i < columns.size(); ++i) {
    const auto& [name, value] = columns[i];
    if (value == nullptr) continue;
    const Json own = Bare(*value, "");
    const bool by_name = name == ColumnName(wanted) && AreSame(own, wanted);
    if (by_name) return static_cast<int>(i);
    if (found < 0 && own == wanted) found = static_cast<int>(i);
  }
  return found;
}

bool Proof::IsOrderedBy(const std::vector<std::string>& expressions, bool descending) const {
  const auto columns = Prover::Columns(statements_.front());
  const Json& order = Member(Member(statements_.front(), "SelectStmt"), "sortClause");
  if (order.size() != expressions.size()) return false;
  for (size_t i = 0; i < order.size(); ++i) {
    const Json& by = Member(order[i], "SortBy");
    const bool down = Text(by, "sortby_dir") == "SORTBY_DESC";
    const Json node = Bare(Member(by, "node"), "");
    const int column = ColumnOf(expressions[i]);
    if (column < 0 || down != descending || Text(by, "sortby_dir") == "SORTBY_USING") return false;
    const auto& [name, value] = columns[static_cast<size_t>(column)];
    const Json& number = Member(Member(Member(node, "A_Const"), "ival"), "ival");
    const bool by_number = number == Json(column + 1);
    if (!by_number && (name.empty() || ColumnName(node) != name) &&
        !AreSame(node, ParseExpression(expressions[i]))) {
      return false;
    }
  }
  return true;
}

}  // namespace twi::sql

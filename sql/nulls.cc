#include "sql/nulls.h"

#include <algorithm>
#include <set>
#include <string>

namespace twi::sql {
namespace {

// Functions that never give NULL, and those that do for NULL only.
const std::set<std::string> kNever = {"count", "row_number", "rank", "dense_rank", "now"};
const std::set<std::string> kForNull = {"lower",      "upper", "length", "abs",   "md5",
                                        "date_trunc", "floor", "ceil",   "round", "timezone"};
const std::set<std::string> kOperators = {
    "=", "<>", "<", ">", "<=", ">=", "||", "+", "-", "*", "/", "%"};

}  // namespace

bool MayBeNull(const Json& expression,
               const std::function<std::optional<bool>(const Json&)>& known) {
  if (expression.empty()) return true;
  if (const auto answer = known(expression)) return *answer;
  const std::string& kind = expression.begin().key();
  const Json& content = *expression.begin();
  const auto may_be = [&known](const Json& part) { return MayBeNull(part, known); };
  const auto one_may_be = [&](const Json& parts) { return std::ranges::any_of(parts, may_be); };
  if (kind == "A_Const") return IsTrue(content, "isnull");
  if (kind == "TypeCast") return may_be(Member(content, "arg"));
  if (kind == "NullTest" || kind == "A_ArrayExpr") return false;
  if (kind == "SubLink") return Text(content, "subLinkType") != "EXISTS_SUBLINK";
  if (kind == "SQLValueFunction") return !Text(content, "op").starts_with("SVFOP_CURRENT_T");
  if (kind == "BoolExpr") return one_may_be(Member(content, "args"));
  if (kind == "CoalesceExpr" || kind == "MinMaxExpr") {
    return std::ranges::all_of(Member(content, "args"), may_be);
  }
  if (kind == "FuncCall") {
    const std::string name = FromEnd(Member(content, "funcname"), 0);
    if (kNever.contains(name)) return false;
    return !kForNull.contains(name) || one_may_be(Member(content, "args"));
  }
  if (kind == "CaseExpr") {
    const auto when_may_be = [&](const Json& when) {
      return may_be(Member(Member(when, "CaseWhen"), "result"));
    };
    return may_be(Member(content, "defresult")) ||
           std::ranges::any_of(Member(content, "args"), when_may_be);
  }
  if (!IsOperator(expression, kOperators)) return true;
  return (content.contains("lexpr") && may_be(Member(content, "lexpr"))) ||
         may_be(Member(content, "rexpr"));
}

}  // namespace twi::sql

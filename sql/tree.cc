#include "sql/tree.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "sql/errors.h"
#include "sql/parser.h"

namespace twi::sql {

absl::StatusOr<Json> ParseStatements(std::string_view text) {
  const absl::StatusOr<std::string> parsed = ParseTree(text);
  if (!parsed.ok()) return parsed.status();
  Json tree = Json::parse(*parsed, nullptr, /*allow_exceptions=*/false);
  if (tree.is_discarded()) {
    return Error(absl::StatusCode::kInvalidArgument, "INTERNAL", "not SQL: it is not UTF-8");
  }
  Json statements = Json::array();
  // Not copied, which recurses: a tree may be tens of thousands of levels deep.
  for (Json& statement : tree["stmts"]) statements.push_back(std::move(statement["stmt"]));
  return statements;
}

const Json& Member(const Json& node, std::string_view key) {
  static const Json kNone;
  const auto found = node.is_object() ? node.find(key) : node.end();
  return found != node.end() ? *found : kNone;
}

std::string Text(const Json& node, std::string_view key) {
  const Json& value = Member(node, key);
  return value.is_string() ? value.get<std::string>() : "";
}

bool IsTrue(const Json& node, std::string_view key) { return Member(node, key) == Json(true); }

std::string FunctionName(const Json& parts) {
  std::string name;
  for (const Json& part : parts) {
    absl::StrAppend(&name, name.empty() ? "" : ".", Text(Member(part, "String"), "sval"));
  }
  return absl::AsciiStrToLower(name);
}

std::string RelationName(const Json& relation) {
  std::string name;
  for (const char* key : {"catalogname", "schemaname", "relname"}) {
    absl::StrAppend(&name, name.empty() ? "" : ".", Text(relation, key));
  }
  return name;
}

std::string FromEnd(const Json& parts, size_t n) {
  if (!parts.is_array() || n >= parts.size()) return "";
  return Text(Member(parts[parts.size() - 1 - n], "String"), "sval");
}

bool IsOperator(const Json& expression, const std::set<std::string>& names) {
  const Json& operation = Member(expression, "A_Expr");
  return Text(operation, "kind") == "AEXPR_OP" && Member(operation, "name").size() == 1 &&
         names.contains(FromEnd(Member(operation, "name"), 0));
}

bool IsCast(const Json& expression, const std::set<std::string>& types) {
  const Json& type = Member(Member(expression, "TypeCast"), "typeName");
  return types.contains(FromEnd(Member(type, "names"), 0));
}

bool IsLimitedToOne(const Json& select) {
  return Text(select, "limitOption") == "LIMIT_OPTION_COUNT" &&
         Member(Member(Member(select, "limitCount"), "A_Const"), "ival") == Json{{"ival", 1}};
}

}  // namespace twi::sql

#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace twi::sql {

// PostgreSQL's parse trees as JSON. A node is an object of one member, whose key is its type:
// `{"ColumnRef": {"fields": […]}}`; some fields hold nodes of one type only, without that key.
using Json = nlohmann::json;

/// The trees of a text's statements. INVALID_ARGUMENT as ParseTree (sql/parser.h).
absl::StatusOr<Json> ParseStatements(std::string_view text);

/// A member of an object, or null.
const Json& Member(const Json& node, std::string_view key);
/// A member that is text, or "".
std::string Text(const Json& node, std::string_view key);
bool IsTrue(const Json& node, std::string_view key);

/// `schema.name` of a list of strings, lower case.
std::string FunctionName(const Json& parts);
/// `schema.name` of a RangeVar's content.
std::string RelationName(const Json& relation);
/// The text of a list's n-th string, counted from the end; "" for what is none.
std::string FromEnd(const Json& parts, size_t n);

/// Whether a node is `a op b` with an operator of these, called without a schema.
bool IsOperator(const Json& expression, const std::set<std::string>& names);

/// Whether an expression is cast to one of these types.
bool IsCast(const Json& expression, const std::set<std::string>& types);

/// `limit 1` or `fetch first row only` in a SelectStmt's content.
bool IsLimitedToOne(const Json& select);

}  // namespace twi::sql

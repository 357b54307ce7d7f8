#include "sql/copy_statement.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "sql/analysis.h"
#include "sql/text.h"
#include "sql/tree.h"

namespace twi::sql {
namespace {

bool IsOfName(char c) { return absl::ascii_isalnum(c) || c == '_' || c == '$'; }

/// What follows the number of the line: `, column author: "…"`. A name that has a colon is cut off
/// there, as what follows it may be the value.
std::string ColumnOf(absl::string_view rest) {
  if (!absl::ConsumePrefix(&rest, ", ")) return "";
  rest = rest.substr(0, rest.find(':'));
  const size_t word = rest.find(' ');
  if (word == rest.npos) return "";
  return std::string(absl::StripAsciiWhitespace(rest.substr(word)));
}

}  // namespace

absl::StatusOr<CopyStatement> ReadCopy(std::string_view text) {
  const absl::StatusOr<Json> statements = ParseStatements(text);
  if (!statements.ok()) return statements.status();
  const Json& copy = statements->size() == 1 ? Member(statements->front(), "CopyStmt") : Json();
  if (copy.is_null() || copy.contains("filename") || IsTrue(copy, "is_program")) {
    return Error(absl::StatusCode::kInvalidArgument, "REQUEST_MALFORMED",
                 "it is not one COPY … FROM STDIN or COPY … TO STDOUT");
  }
  const absl::StatusOr<Analysis> analysis = Analyse(text);
  if (!analysis.ok()) return analysis.status();
  return CopyStatement{.text = std::string(text),
                       .in = IsTrue(copy, "is_from"),
                       .table = Text(Member(copy, "relation"), "relname"),
                       .writes = !analysis->writes.empty()};
}

void Locate(std::string_view context, std::string_view table, DatabaseError* error) {
  const std::string begin = absl::StrCat("COPY ", ToAbsl(table));
  // What a trigger was doing stands before, and the value behind, of which a part may look the
  // same.
  for (absl::string_view line : absl::StrSplit(ToAbsl(context), '\n')) {
    if (!absl::ConsumePrefix(&line, begin) || line.empty() || IsOfName(line.front())) continue;
    const size_t number = line.find_first_of("0123456789");
    if (number == line.npos || number > line.find(':')) return;
    line.remove_prefix(number);
    const size_t end = std::min(line.find_first_not_of("0123456789"), line.size());
    int64_t row = 0;
    if (!absl::SimpleAtoi(line.substr(0, end), &row)) return;
    error->copy_line = row;
    if (error->column.empty()) error->column = ColumnOf(line.substr(end));
    return;
  }
}

}  // namespace twi::sql

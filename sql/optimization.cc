#include "sql/optimization.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "sql/parser.h"
#include "sql/statement.h"
#include "sql/text.h"

namespace twi::sql {
namespace {

using Json = nlohmann::json;
using Kind = Optimization::Kind;

/// A day for texts whose cutoff does not matter.
constexpr std::string_view kSomeDay = "2000-01-01 00:00:00";

/// What one statement of a step makes, as the parser has it.
struct Made {
  Kind kind;
  std::string name;
  std::string table;  ///< What an index or settings belong to.
};

absl::StatusOr<Made> Read(const Json& statement) {
  if (const auto index = statement.find("IndexStmt"); index != statement.end()) {
    return Made{Kind::kIndex, index->value("idxname", ""), index->at("relation").at("relname")};
  }
  if (const auto view = statement.find("CreateTableAsStmt");
      view != statement.end() && view->value("objtype", "") == "OBJECT_MATVIEW" &&
      view->at("into").value("skipData", false)) {
    return Made{Kind::kView, view->at("into").at("rel").at("relname"), ""};
  }
  if (const auto function = statement.find("CreateFunctionStmt"); function != statement.end()) {
    return Made{Kind::kFunction, function->at("funcname").back().at("String").at("sval"), ""};
  }
  if (const auto alter = statement.find("AlterTableStmt"); alter != statement.end()) {
    const Json& commands = alter->at("cmds");
    if (commands.size() == 1 &&
        commands[0].at("AlterTableCmd").value("subtype", "") == "AT_SetRelOptions") {
      return Made{Kind::kSettings, "", alter->at("relation").at("relname")};
    }
  }
  return absl::InternalError("this is no statement of a step");
}

/// Fills in what the parser says of the step's text.
absl::Status Describe(Optimization* step) {
  const absl::StatusOr<std::string> tree = ParseTree(WithCutoff(*step, kSomeDay));
  if (!tree.ok()) return tree.status();
  const Json parsed = Json::parse(*tree);
  const Json& statements = parsed.at("stmts");
  for (size_t i = 0; i < statements.size(); ++i) {
    absl::StatusOr<Made> made = Read(statements[i].at("stmt"));
    if (!made.ok()) return made.status();
    if (i == 0) {
      step->kind = made->kind;
      step->table = made->table;
      if (made->kind != Kind::kSettings && made->name != step->name) {
        return absl::InternalError(absl::StrCat("it makes ", made->name));
      }
    } else if (step->kind != Kind::kView || made->kind != Kind::kIndex ||
               made->table != step->name) {
      return absl::InternalError("beside its first statement it has only indexes of a view");
    }
  }
  if (statements.empty()) return absl::InternalError("it has no statement");
  if (step->recent_days > 0 && step->kind != Kind::kIndex) {
    return absl::InternalError("only an index is of recent rows");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Optimization>> ReadOptimizations(const EmbeddedText& text) {
  std::vector<Optimization> steps;
  for (absl::string_view line : absl::StrSplit(ToAbsl(text.text), '\n')) {
    absl::string_view value = line;
    if (absl::ConsumePrefix(&value, "-- step: ")) {
      steps.push_back({.name = std::string(value)});
    } else if (steps.empty()) {
      continue;  // What the file is for.
    } else if (absl::ConsumePrefix(&value, "-- recent: ")) {
      if (!absl::SimpleAtoi(absl::StripSuffix(value, " days"), &steps.back().recent_days) ||
          steps.back().recent_days <= 0) {
        return absl::InternalError(absl::StrCat(ToAbsl(text.name), ": ", line));
      }
    } else {
      absl::StrAppend(&steps.back().text, line, "\n");
    }
  }
  for (Optimization& step : steps) {
    absl::StripAsciiWhitespace(&step.text);
    if (absl::Status status = Describe(&step); !status.ok()) {
      return absl::InternalError(
          absl::StrCat(ToAbsl(text.name), ": step ", step.name, ": ", status.message()));
    }
  }
  return steps;
}

std::string WithCutoff(const Optimization& step, std::string_view cutoff) {
  if (step.recent_days == 0) return step.text;
  const absl::StatusOr<BoundText> bound =
      BindNames(step.text, {{"cutoff", absl::StrCat("timestamp '", ToAbsl(cutoff), "'")}});
  return bound.ok() ? bound->text : step.text;
}

std::string Concurrently(const Optimization& step, std::string_view name, std::string_view cutoff) {
  std::string text = WithCutoff(step, cutoff);
  const absl::StatusOr<std::vector<Token>> tokens = Scan(text);
  for (size_t i = 0; tokens.ok() && i + 1 < tokens->size(); ++i) {
    const Token& token = (*tokens)[i];
    const absl::string_view word = ToAbsl(text).substr(token.begin, token.end - token.begin);
    if (!token.keyword || !absl::EqualsIgnoreCase(word, "index")) continue;
    return absl::StrCat(text.substr(0, token.end), " concurrently ", ToAbsl(name),
                        text.substr((*tokens)[i + 1].end));
  }
  return text;
}

}  // namespace twi::sql

#include "repositories/repository.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "sql/parser.h"
#include "sql/proof.h"
#include "sql/text.h"

namespace twi::repositories {
namespace {

const std::set<std::string> kDirectives = {"page", "none", "batch", "stream", "scan"};

/// `-- key: value` as {key, value}; {"", ""} for any other line.
std::pair<std::string, std::string> Directive(absl::string_view line) {
  line = absl::StripAsciiWhitespace(line);
  if (!absl::ConsumePrefix(&line, "-- ")) return {};
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(line, absl::MaxSplits(' ', 1));
  absl::string_view key = parts.first;
  if (!absl::ConsumeSuffix(&key, ":")) return {};
  return {std::string(key), std::string(absl::StripAsciiWhitespace(parts.second))};
}

/// The expressions of a list, which commas part; {} when it is no SQL.
std::vector<std::vector<sql::Token>> SplitList(const std::string& list) {
  const auto tokens = sql::Scan(list);
  if (!tokens.ok()) return {};
  std::vector<std::vector<sql::Token>> parts(1);
  int depth = 0;
  for (const sql::Token& token : *tokens) {
    if (token.comment()) continue;
    depth += token.kind == '(' || token.kind == '[';
    depth -= token.kind == ')' || token.kind == ']';
    if (depth == 0 && token.kind == ',') {
      parts.emplace_back();
    } else {
      parts.back().push_back(token);
    }
  }
  return parts;
}

/// Reads `a desc, b desc` into the stanza; what is wrong with it, or "".
std::string ReadPage(const std::string& value, Stanza* stanza) {
  int descending = 0;
  for (std::vector<sql::Token>& tokens : SplitList(value)) {
    const auto text_of = [&value](const sql::Token& first, const sql::Token& last) {
      return value.substr(first.begin, last.end - first.begin);
    };
    const std::string direction = tokens.empty() ? "" : text_of(tokens.back(), tokens.back());
    descending += direction == "desc";
    if (direction == "desc" || direction == "asc") tokens.pop_back();
    stanza->page.push_back(tokens.empty() ? "" : text_of(tokens.front(), tokens.back()));
  }
  if (stanza->page.empty() || !std::ranges::all_of(stanza->page, sql::IsExpression)) {
    return absl::StrCat("`-- page: ", value, "` is not a list of keys: write `-- page: a, b`");
  }
  if (descending != 0 && descending != static_cast<int>(stanza->page.size())) {
    return "the keys of `-- page:` go in different directions: a row comparison has one for all";
  }
  stanza->descending = descending > 0;
  return "";
}

/// Takes the parameters of a part off its name; whether they are a list of words.
bool ReadParameters(Stanza* part) {
  const size_t begin = part->name.find('(');
  if (begin == std::string::npos) return true;
  absl::string_view list = ToAbsl(part->name).substr(begin + 1);
  if (!absl::ConsumeSuffix(&list, ")")) return false;
  for (absl::string_view parameter : absl::StrSplit(list, ',')) {
    parameter = absl::StripAsciiWhitespace(parameter);
    part->parameters.emplace_back(parameter);
    const bool word = !parameter.empty() && absl::c_all_of(parameter, [](char c) {
      return absl::ascii_islower(static_cast<unsigned char>(c)) || c == '_';
    });
    if (!word) return false;
  }
  part->name.resize(begin);
  return true;
}

/// Cuts the stanza's text off at its semicolon; behind it only comments may stand.
void EndStatement(Stanza* stanza, const std::function<void(int, std::string)>& problem) {
  absl::StripAsciiWhitespace(&stanza->text);
  const std::string& text = stanza->text;
  const auto tokens = sql::Scan(text);
  // What is wrong then is told when placeholders are looked for.
  if (!tokens.ok()) return;
  auto last = tokens->rbegin();
  for (; last != tokens->rend() && last->comment(); ++last) {
    const std::string key = Directive(text.substr(last->begin, last->end - last->begin)).first;
    if (!kDirectives.contains(key)) continue;
    const auto lines = std::count(text.begin(), text.begin() + last->begin, '\n');
    problem(stanza->text_line + static_cast<int>(lines),
            absl::StrCat("`-- ", key, ":` stands behind the statement of ", stanza->name,
                         ": move it above"));
  }
  if (last == tokens->rend() || last->kind != ';') {
    return problem(stanza->line,
                   absl::StrCat(stanza->name, " does not end with a semicolon: write one"));
  }
  stanza->text.resize(last->begin);
}

}  // namespace

Repository Repository::Parse(std::string_view file, std::string_view text,
                             std::vector<Problem>* problems) {
  Repository repository;
  repository.file = std::string(file);
  repository.stem = repository.file.substr(0, repository.file.rfind('.'));
  const auto problem = [&](int line, std::string message) {
    problems->push_back({repository.file, line, std::move(message)});
  };

  int number = 0;
  std::vector<Stanza>* list = &repository.stanzas;
  for (absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    ++number;
    absl::ConsumeSuffix(&line, "\r");
    const auto [key, value] = Directive(line);
    Stanza* stanza = list->empty() ? nullptr : &list->back();
    if (key == "name" || key == "part") {
      list = key == "name" ? &repository.stanzas : &repository.parts;
      list->push_back({.name = value,
                       .parameters = {},
                       .line = number,
                       .text = "",
                       .page = {},
                       .batch = {},
                       .none = "",
                       .scans = {}});
      if (key == "part" && !ReadParameters(&list->back())) {
        problem(number, absl::StrCat("`-- part: ", value, "` is not `-- part: x(a, b)`"));
      }
    } else if (stanza == nullptr) {
      const absl::string_view bare = absl::StripAsciiWhitespace(line);
      if (!bare.empty() && !absl::StartsWith(bare, "--")) {
        problem(number, "SQL before the first `-- name:`");
      }
    } else if (!stanza->text.empty() || key.empty()) {
      const bool comment = absl::StartsWith(absl::StripAsciiWhitespace(line), "--");
      if (stanza->text.empty() && (comment || absl::StripAsciiWhitespace(line).empty())) continue;
      if (stanza->text.empty()) stanza->text_line = number;
      absl::StrAppend(&stanza->text, line, "\n");
    } else if (list == &repository.parts) {
      problem(number, absl::StrCat("`-- ", key, ":` in a part: say it of what is named"));
    } else if (key == "page") {
      if (std::string wrong = ReadPage(value, stanza); !wrong.empty()) problem(number, wrong);
    } else if (key == "none") {
      stanza->none = value;
      if (value != "OK" && value != "NOT_FOUND" && value != "ALREADY_EXISTS") {
        problem(number,
                absl::StrCat("`-- none: ", value, "` is none of OK, NOT_FOUND, ALREADY_EXISTS"));
      }
    } else if (key == "scan") {
      const std::pair<std::string, std::string> said =
          absl::StrSplit(value, absl::MaxSplits(": ", 1));
      if (said.first.empty() || said.second.empty()) {
        problem(number, absl::StrCat("`-- scan: ", value, "` is not `-- scan: table: reason`"));
      }
      stanza->scans.insert(said.first);
    } else if (key == "batch") {
      stanza->batch = absl::StrSplit(absl::StrReplaceAll(value, {{" ", ""}}), ',');
    } else if (key == "stream") {
      stanza->one_transaction = true;
      if (value != "one transaction") {
        problem(number,
                absl::StrCat("`-- stream: ", value, "` is not `-- stream: one transaction`"));
      }
    } else {
      problem(number, absl::StrCat("unknown directive `-- ", key, ":`; there are name, part, ",
                                   absl::StrJoin(kDirectives, ", ")));
    }
  }
  for (Stanza& stanza : repository.stanzas) EndStatement(&stanza, problem);
  std::set<std::string> parts;
  for (Stanza& part : repository.parts) {
    if (!parts.insert(part.name).second) {
      problem(part.line, absl::StrCat("a second part ", part.name, ": remove one"));
    }
    const absl::string_view piece = absl::StripAsciiWhitespace(part.text);
    if (absl::EndsWith(piece, ";")) {
      problem(part.line, absl::StrCat("part ", part.name, " ends with a semicolon: it is a piece"));
    }
    // So that a comment at its end ends with it.
    part.text = absl::StrCat(piece, "\n");
  }
  return repository;
}

}  // namespace twi::repositories

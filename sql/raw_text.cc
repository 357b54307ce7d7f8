#include "sql/raw_text.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "sql/errors.h"
#include "sql/parser.h"
#include "sql/text.h"

namespace twi::sql {
namespace {

absl::Status Invalid(std::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, "SQL_INVALID", why);
}

/// The name without the schema that may stand before it.
std::string Plain(const std::string& function) {
  const size_t dot = function.rfind('.');
  return dot == function.npos ? function : function.substr(dot + 1);
}

// What the grammar calls by syntax and pg_proc does not have.
constexpr std::string_view kSyntax[] = {"current_catalog", "current_date", "current_role",
                                        "current_schema",  "current_time", "current_timestamp",
                                        "current_user",    "localtime",    "localtimestamp",
                                        "session_user",    "user"};

}  // namespace

RawTexts::RawTexts(const Options& options, Dictionary dictionary)
    : options_(options), dictionary_(std::move(dictionary)) {}

absl::StatusOr<RawTexts::Text> RawTexts::Find(std::string_view text, std::vector<Oid> types) {
  Key key(std::string(text), std::move(types));
  {
    std::lock_guard lock(mutex_);
    if (const auto named = named_.find(key); named != named_.end()) return named->second;
    if (const auto found = kept_.find(key); found != kept_.end()) {
      Kept& kept = found->second;
      order_.splice(order_.begin(), order_, kept.place);
      const bool often = ++kept.uses >= options_.uses_of_named;
      if (often && kept.text->analysis.statements == 1 && named_.size() < options_.named) {
        return Named(*kept.text);
      }
      return kept.text;
    }
  }

  auto analysis = Analyse(text);
  if (!analysis.ok()) return Invalid(ToStd(analysis.status().message()));
  if (analysis->statements == 0) return Invalid("there is no statement");
  RawText raw;
  raw.statement.text = key.first;
  raw.statement.raw = true;
  raw.statement.types = key.second;
  raw.statement.fingerprint = analysis->fingerprint;
  raw.statement.read_only = ReadsOnly(*analysis);
  raw.analysis = *std::move(analysis);
  const auto made = std::make_shared<const RawText>(std::move(raw));

  std::lock_guard lock(mutex_);
  const auto [place, inserted] = kept_.try_emplace(key);
  if (!inserted) return place->second.text;
  order_.push_front(key);
  place->second = {made, 1, order_.begin()};
  if (order_.size() > options_.kept) {
    kept_.erase(order_.back());
    order_.pop_back();
  }
  return made;
}

absl::StatusOr<RawTexts::Text> RawTexts::Name(const Text& text) {
  std::lock_guard lock(mutex_);
  const auto found = named_.find(Key(text->statement.text, text->statement.types));
  if (found != named_.end()) return found->second;
  if (named_.size() >= options_.named) {
    return Error(absl::StatusCode::kResourceExhausted, "OVERLOADED",
                 absl::StrCat("the server has prepared ", options_.named, " texts already"));
  }
  return Named(*text);
}

RawTexts::Text RawTexts::Named(const RawText& text) {
  RawText copy = text;
  copy.statement.name = absl::StrCat("raw ", named_.size());
  auto named = std::make_shared<const RawText>(std::move(copy));
  named_[Key(text.statement.text, text.statement.types)] = named;
  return named;
}

bool RawTexts::ReadsOnly(const Analysis& analysis) const {
  return analysis.read_only() && std::ranges::all_of(analysis.functions, [&](const auto& function) {
           const auto known = dictionary_.functions.find(Plain(function));
           if (known != dictionary_.functions.end()) return !known->second.changes;
           return std::ranges::find(kSyntax, function) != std::end(kSyntax);
         });
}

absl::StatusOr<std::vector<ScriptStatement>> SplitScript(std::string_view text) {
  const auto parts = Split(text);
  if (!parts.ok()) return Invalid(ToStd(parts.status().message()));
  const auto tokens = Scan(text);
  if (!tokens.ok()) return Invalid(ToStd(tokens.status().message()));
  std::vector<ScriptStatement> statements;
  int line = 1;
  size_t counted = 0;
  size_t end = 0;  // Of the statement that the token may be in.
  auto part = parts->begin();
  for (const Token& token : *tokens) {
    if (token.comment() || token.begin < end || token.kind == ';') continue;
    line += static_cast<int>(std::ranges::count(text.substr(counted, token.begin - counted), '\n'));
    counted = token.begin;
    const auto begin_of = [&](std::string_view view) {
      return static_cast<size_t>(view.data() - text.data());
    };
    while (part != parts->end() && begin_of(*part) + part->size() <= token.begin) ++part;
    // The library leaves out what has no keyword.
    if (part == parts->end() || begin_of(*part) > token.begin) {
      return Invalid(absl::StrCat("there is no statement on line ", line));
    }
    end = begin_of(*part) + part->size();
    statements.push_back({std::string(text.substr(token.begin, end - token.begin)), line});
  }
  return statements;
}

}  // namespace twi::sql

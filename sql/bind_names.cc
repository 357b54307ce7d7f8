#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "sql/errors.h"
#include "sql/parser.h"
#include "sql/statement.h"
#include "sql/text.h"

namespace twi::sql {
namespace {

/// A `:name.of.field` in a text.
struct Placeholder {
  std::string_view name;
  size_t begin = 0;  ///< Where its `:` stands.
  size_t end = 0;
  /// Of `:name(x, y)`, written close.
  std::vector<std::string_view> arguments = {};
  size_t call_end = 0;  ///< Behind their `)`; 0 without any.
};

bool IsPlainWord(std::string_view text, const Token& token) {
  return token.keyword || (token.kind == Token::kIdentifier && text[token.begin] != '"');
}

/// Whether an operand ends right before `position`: then a `:` there parts a slice's bounds.
bool EndsOperand(std::string_view text, size_t position) {
  if (position == 0) return false;
  const auto last = static_cast<unsigned char>(text[position - 1]);
  return absl::ascii_isalnum(last) || last >= 0x80 ||
         std::string_view("_$'\")]").find(static_cast<char>(last)) != std::string_view::npos;
}

/// Reads the arguments between the bracket at `first` and its counterpart.
void ReadArguments(std::string_view text, const std::vector<Token>& tokens, size_t first,
                   Placeholder* placeholder) {
  int depth = 0;
  size_t begin = tokens[first].end;
  for (size_t i = first; i < tokens.size(); ++i) {
    depth += tokens[i].kind == '(' || tokens[i].kind == '[';
    depth -= tokens[i].kind == ')' || tokens[i].kind == ']';
    if (depth > 1 || (depth == 1 && tokens[i].kind != ',')) continue;
    const auto argument =
        absl::StripAsciiWhitespace(absl::string_view(text.data() + begin, tokens[i].begin - begin));
    placeholder->arguments.emplace_back(argument.data(), argument.size());
    begin = tokens[i].end;
    if (depth > 0) continue;
    placeholder->call_end = begin;
    return;
  }
}

std::vector<Placeholder> FindPlaceholders(std::string_view text, const std::vector<Token>& tokens) {
  // Whether tokens i and i + 1 are a mark and, right behind it, a word.
  const auto introduces_word = [&](size_t i, char mark) {
    return i + 1 < tokens.size() && tokens[i].kind == mark &&
           tokens[i].end == tokens[i + 1].begin && IsPlainWord(text, tokens[i + 1]);
  };
  std::vector<Placeholder> found;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!introduces_word(i, ':') || EndsOperand(text, tokens[i].begin)) continue;
    const size_t begin = tokens[i].begin;
    ++i;
    while (i + 1 < tokens.size() && tokens[i].end == tokens[i + 1].begin &&
           introduces_word(i + 1, '.')) {
      i += 2;
    }
    const size_t end = tokens[i].end;
    found.push_back({text.substr(begin + 1, end - begin - 1), begin, end});
    if (i + 1 < tokens.size() && tokens[i + 1].kind == '(' && tokens[i + 1].begin == end) {
      ReadArguments(text, tokens, i + 1, &found.back());
    }
  }
  return found;
}

/// The text with each placeholder replaced by what `replacement` gives for it, which may move its
/// end.
template <typename Replacement>
std::string Replace(std::string_view text, const std::vector<Placeholder>& placeholders,
                    Replacement replacement) {
  std::string result;
  size_t done = 0;
  for (const Placeholder& placeholder : placeholders) {
    if (placeholder.begin < done) continue;  // In the arguments of one before.
    size_t end = placeholder.end;
    result.append(text, done, placeholder.begin - done).append(replacement(placeholder, &end));
    done = end;
  }
  return result.append(text, done);
}

/// An insertion's text with the placeholder's arguments in it, into which others are inserted
/// before.
absl::StatusOr<std::string> Fill(const Insertion& insertion, const Placeholder& placeholder,
                                 const std::vector<Insertion>& insertions) {
  const auto& parameters = insertion.parameters;
  if (parameters.empty()) return insertion.text;
  if (placeholder.arguments.size() != parameters.size()) {
    return Error(absl::StatusCode::kInvalidArgument, "INTERNAL",
                 absl::StrCat(":", insertion.name, " has ", placeholder.arguments.size(),
                              " arguments: write `:", insertion.name, "(",
                              absl::StrJoin(parameters, ", "), ")`"));
  }
  std::vector<std::string> arguments;
  for (const std::string_view argument : placeholder.arguments) {
    auto inserted = Insert(argument, insertions);
    if (!inserted.ok()) return inserted.status();
    arguments.push_back(*std::move(inserted));
  }
  const absl::StatusOr<std::vector<Token>> tokens = Scan(insertion.text);
  if (!tokens.ok()) return tokens.status();
  return Replace(insertion.text, FindPlaceholders(insertion.text, *tokens),
                 [&](const Placeholder& inner, size_t*) {
                   const auto match = std::find(parameters.begin(), parameters.end(), inner.name);
                   return match == parameters.end()
                              ? absl::StrCat(":", ToAbsl(inner.name))
                              : arguments[static_cast<size_t>(match - parameters.begin())];
                 });
}

}  // namespace

absl::StatusOr<std::string> Insert(std::string_view text,
                                   const std::vector<Insertion>& insertions) {
  const absl::StatusOr<std::vector<Token>> tokens = Scan(text);
  if (!tokens.ok()) return tokens.status();
  absl::Status wrong;
  std::string result = Replace(
      text, FindPlaceholders(text, *tokens), [&](const Placeholder& placeholder, size_t* end) {
        const auto match = std::find_if(
            insertions.begin(), insertions.end(),
            [&](const Insertion& insertion) { return insertion.name == placeholder.name; });
        if (match == insertions.end()) return absl::StrCat(":", ToAbsl(placeholder.name));
        if (!match->parameters.empty() && placeholder.call_end > 0) *end = placeholder.call_end;
        auto filled = Fill(*match, placeholder, insertions);
        wrong.Update(filled.status());
        return filled.ok() ? *std::move(filled) : "";
      });
  if (!wrong.ok()) return wrong;
  return result;
}

absl::StatusOr<BoundText> BindNames(std::string_view text, const std::vector<Insertion>& fixed) {
  if (!fixed.empty()) {
    const absl::StatusOr<std::string> inserted = Insert(text, fixed);
    if (!inserted.ok()) return inserted.status();
    return BindNames(*inserted);
  }
  const absl::StatusOr<std::vector<Token>> tokens = Scan(text);
  if (!tokens.ok()) return tokens.status();
  const std::vector<Placeholder> placeholders = FindPlaceholders(text, *tokens);

  const bool numbered = std::any_of(tokens->begin(), tokens->end(), [](const Token& token) {
    return token.kind == Token::kParameter;
  });
  if (numbered && !placeholders.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "INTERNAL",
                 absl::StrCat("placeholders are names or numbers, not both: :",
                              ToAbsl(placeholders.front().name), " beside $n"));
  }
  BoundText bound;
  bound.text = Replace(text, placeholders, [&](const Placeholder& placeholder, size_t*) {
    auto match = std::find(bound.names.begin(), bound.names.end(), placeholder.name);
    if (match == bound.names.end()) match = bound.names.emplace(match, placeholder.name);
    return absl::StrCat("$", match - bound.names.begin() + 1);
  });
  return bound;
}

}  // namespace twi::sql

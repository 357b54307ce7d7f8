#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
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
  }
  return found;
}

/// The text with each placeholder replaced by what `replacement` gives for its name.
template <typename Replacement>
std::string Replace(std::string_view text, const std::vector<Placeholder>& placeholders,
                    Replacement replacement) {
  std::string result;
  size_t done = 0;
  for (const Placeholder& placeholder : placeholders) {
    result.append(text, done, placeholder.begin - done).append(replacement(placeholder.name));
    done = placeholder.end;
  }
  return result.append(text, done);
}

}  // namespace

absl::StatusOr<BoundText> BindNames(std::string_view text,
                                    const std::vector<std::pair<std::string, std::string>>& fixed) {
  const absl::StatusOr<std::vector<Token>> tokens = Scan(text);
  if (!tokens.ok()) return tokens.status();
  const std::vector<Placeholder> placeholders = FindPlaceholders(text, *tokens);

  if (!fixed.empty()) {
    return BindNames(Replace(text, placeholders, [&](std::string_view name) {
      const auto match = std::find_if(fixed.begin(), fixed.end(),
                                      [&](const auto& entry) { return entry.first == name; });
      return match != fixed.end() ? match->second : absl::StrCat(":", ToAbsl(name));
    }));
  }

  const bool numbered = std::any_of(tokens->begin(), tokens->end(), [](const Token& token) {
    return token.kind == Token::kParameter;
  });
  if (numbered && !placeholders.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, "INTERNAL",
                 absl::StrCat("placeholders are names or numbers, not both: :",
                              ToAbsl(placeholders.front().name), " beside $n"));
  }
  BoundText bound;
  bound.text = Replace(text, placeholders, [&](std::string_view name) {
    auto match = std::find(bound.names.begin(), bound.names.end(), name);
    if (match == bound.names.end()) match = bound.names.emplace(match, name);
    return absl::StrCat("$", match - bound.names.begin() + 1);
  });
  return bound;
}

}  // namespace twi::sql

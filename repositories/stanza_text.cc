#include "repositories/stanza_text.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace twi::repositories {
namespace {

/// What stands before a character of `text`, counted from 1.
std::string_view Before(std::string_view text, int character) {
  size_t end = 0;
  for (; end < text.size(); ++end) {
    const bool begins_character = (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
    if (begins_character && --character == 0) break;
  }
  return text.substr(0, end);
}

}  // namespace

Replacements TextsOf(const Repository& repository, const std::string& after) {
  Replacements texts;
  for (const Stanza& part : repository.parts) {
    texts.emplace_back(absl::StrCat("part.", part.name), part.text);
  }
  if (!after.empty()) texts.emplace_back("page.after", after);
  return texts;
}

std::string AfterKey(const Stanza& stanza) {
  std::vector<std::string> marks;
  for (size_t i = 0; i < stanza.page.size(); ++i) marks.push_back(absl::StrCat(":page.after_", i));
  return absl::StrCat("(", absl::StrJoin(stanza.page, ", "), ") ", stanza.descending ? "<" : ">",
                      " (", absl::StrJoin(marks, ", "), ")");
}

std::string PlaceOf(const std::string& text, int character, const Stanza& stanza, bool has_parts) {
  if (character <= 0) return "";
  const std::string_view before = Before(text, character);
  if (has_parts) {
    // Whose line it is does not matter to who looks for it.
    const size_t begin = before.rfind('\n') + 1;
    const std::string line = text.substr(begin, text.find('\n', begin) - begin);
    return absl::StrCat(" (`", absl::StripAsciiWhitespace(line), "`)");
  }
  const auto lines = std::count(before.begin(), before.end(), '\n');
  return absl::StrCat(" (line ", stanza.text_line + lines, ")");
}

}  // namespace twi::repositories

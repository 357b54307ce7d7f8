#include "repositories/stanza_text.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "repositories/postgres_types.h"

namespace twi::repositories {
namespace {

std::string KeyName(size_t key) { return absl::StrCat("page.after_", key); }

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

std::vector<sql::Insertion> PartsOf(const std::vector<std::string>& names, const Repository& own,
                                    const std::vector<Repository>& all,
                                    std::set<const Stanza*>* used) {
  std::vector<sql::Insertion> parts;
  for (const Repository& repository : all) {
    const std::string scope =
        &repository == &own ? "part." : absl::StrCat("part.", repository.stem, ".");
    for (const Stanza& part : repository.parts) {
      std::string name = absl::StrCat(scope, part.name);
      if (std::ranges::find(names, name) == names.end()) continue;
      parts.push_back({std::move(name), part.text, part.parameters});
      used->insert(&part);
    }
  }
  return parts;
}

std::vector<sql::Insertion> FirstPage(const Stanza& stanza) {
  std::vector<sql::Insertion> texts = {{"page.after", "true"}};
  for (size_t i = 0; i < stanza.page.size(); ++i) texts.push_back({KeyName(i), "null"});
  return texts;
}

std::vector<sql::Insertion> NextPage(const Stanza& stanza) {
  std::vector<std::string> marks;
  for (size_t i = 0; i < stanza.page.size(); ++i) marks.push_back(absl::StrCat(":", KeyName(i)));
  return {{"page.after",
           absl::StrCat("(", absl::StrJoin(stanza.page, ", "), ") ", stanza.descending ? "<" : ">",
                        " (", absl::StrJoin(marks, ", "), ")")}};
}

absl::StatusOr<std::string> ForSeveral(const std::string& text,
                                       const std::vector<std::string>& names,
                                       const std::vector<sql::Oid>& arrays) {
  std::vector<sql::Insertion> values;
  std::vector<std::string> parameters;
  std::vector<std::string> columns;
  for (size_t i = 1; i <= names.size(); ++i) {
    values.push_back({names[i - 1], absl::StrCat("_caller.p", i)});
    // So that a plan for these very arrays looks no better than one for all, which is kept.
    parameters.push_back(absl::StrCat("(select $", i, "::", TypeName(arrays[i - 1]), ")"));
    columns.push_back(absl::StrCat("p", i));
  }
  auto one = sql::Insert(text, values);
  if (!one.ok()) return one;
  return absl::StrCat("select _answer.*, _caller.", sql::kCallColumn, "\nfrom unnest(",
                      absl::StrJoin(parameters, ", "), ") with ordinality _caller (",
                      absl::StrJoin(columns, ", "), ", ", sql::kCallColumn,
                      ")\ncross join lateral (\n", *one, "\n) _answer");
}

std::string WithName(const std::string& operation, const std::string& text) {
  return absl::StrCat("/* ", operation, " */ ", text);
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

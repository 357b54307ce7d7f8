#include "repositories/spelling.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace twi::repositories {
namespace {

/// How many letters must be changed, added or left out to make one word of the other.
int Distance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (const char letter : a) {
    int diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const int changed = diagonal + (letter != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string FieldSuggestion(const google::protobuf::Descriptor& type, const std::string& name) {
  if (type.field_count() == 0) return absl::StrCat(type.name(), " has no fields");
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
  const auto distance = [&name](std::string_view other) { return Distance(name, other); };
  const std::string nearest = *std::ranges::min_element(names, {}, distance);
  if (distance(nearest) <= static_cast<int>(1 + name.size() / 3)) {
    return absl::StrCat(type.name(), " has no ", name, "; did you mean ", nearest, "?");
  }
  return absl::StrCat(type.name(), " has no ", name, ", only ", absl::StrJoin(names, ", "));
}

}  // namespace twi::repositories

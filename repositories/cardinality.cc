#include "repositories/cardinality.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "repositories/postgres_types.h"

namespace twi::repositories {
void CheckOneRow(const Stanza& stanza, const sql::Proof& proof, const sql::Analysis& analysis,
                 RowPlan::Shape shape, const std::vector<sql::Column>& columns, bool set,
                 std::vector<std::string>* problems) {
  if (columns.empty() || shape == RowPlan::Shape::kElements) return;
  std::set<int> fixed;
  if (set) {
    const auto call = std::ranges::find(columns, sql::kCallColumn, &sql::Column::name);
    if (call == columns.end()) return;
    fixed.insert(static_cast<int>(call - columns.begin()));
  }
  const std::string several = proof.Several(fixed, stanza.batch);
  if (several.empty()) return;
  if (set) {
    problems->push_back(
        absl::StrCat("may return several rows for one call, of ", several,
                     ": join it by all columns of a unique key or of `-- batch:`, or "
                     "select distinct on (_call)"));
  } else {
    problems->push_back(absl::StrCat("may return several rows where the response means one, of ",
                                     several, ": compare all columns of a unique key by =, or ",
                                     analysis.kind == sql::Analysis::Kind::kSelect
                                         ? "say limit 1"
                                         : "read it as a common table expression and say limit 1"));
  }
}

std::vector<int> FindPageKeys(const Stanza& stanza, const sql::Proof& proof,
                              const std::vector<sql::Column>& columns,
                              std::vector<std::string>* problems) {
  std::vector<int> keys;
  if (stanza.page.empty()) return keys;
  const size_t before = problems->size();
  for (const std::string& key : stanza.page) {
    const int column = proof.ColumnOf(key);
    if (column < 0 || column >= static_cast<int>(columns.size())) {
      problems->push_back(
          absl::StrCat("does not select its key ", key, ": select it as it is there"));
      continue;
    }
    const sql::Oid type = columns[static_cast<size_t>(column)].type;
    if (proof.MayBeNull(column)) {
      problems->push_back(absl::StrCat("its key ", key,
                                       " may be NULL: pages would lose such rows, say coalesce(",
                                       key, ", ...)"));
    }
    if (!CanBeWhole(type)) {
      problems->push_back(absl::StrCat("its key ", key, " is ", TypeName(type),
                                       ", which no page token carries: cast it, there and where it "
                                       "is selected"));
    }
    keys.push_back(column);
  }
  if (problems->size() > before) return keys;
  const char* direction = stanza.descending ? " desc" : "";
  if (!proof.IsOrderedBy(stanza.page, stanza.descending)) {
    problems->push_back(absl::StrCat("is not in the order of its keys: say order by ",
                                     absl::StrJoin(stanza.page, absl::StrCat(direction, ", ")),
                                     direction));
  }
  if (const std::string several = proof.Several({keys.begin(), keys.end()}); !several.empty()) {
    problems->push_back(absl::StrCat("its keys ", absl::StrJoin(stanza.page, ", "),
                                     " are not shown to be unique together (there may be several "
                                     "rows of ",
                                     several, "): add the columns of a unique key"));
  }
  return keys;
}

void CheckKeyTypes(const Stanza& stanza, const std::vector<int>& keys,
                   const std::vector<sql::Column>& columns, const std::vector<std::string>& names,
                   const std::vector<sql::Oid>& types, std::vector<std::string>* problems) {
  if (keys.size() != stanza.page.size()) return;
  for (size_t i = 0; i < keys.size(); ++i) {
    const auto name = std::ranges::find(names, absl::StrCat("page.after_", i));
    if (name == names.end()) continue;
    const sql::Oid compared = types[static_cast<size_t>(name - names.begin())];
    const sql::Oid selected = columns[static_cast<size_t>(keys[i])].type;
    if (selected == compared || (IsText(selected) && IsText(compared))) continue;
    problems->push_back(absl::StrCat("its key ", stanza.page[i], " is ", TypeName(compared),
                                     " but selected as ", TypeName(selected),
                                     ": select it as it is there"));
  }
}

}  // namespace twi::repositories

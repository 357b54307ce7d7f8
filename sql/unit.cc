#include "sql/unit.h"

#include <utility>

namespace twi::sql {
namespace {

// A jsonb of one request is the version of its format and `[request]`.
constexpr std::string_view kBefore = "\1[";
constexpr std::string_view kAfter = "]";

std::string_view RequestOf(const Execution& execution) {
  std::string_view array = execution.parameters.value(0);
  array.remove_prefix(kBefore.size());
  array.remove_suffix(kAfter.size());
  return array;
}

}  // namespace

Unit::Unit(Execution* execution) : members_{execution} {
  if (execution->key) keys_.insert(*execution->key);
}

bool Unit::Join(Execution* execution) {
  if (execution->statement != statement() || !execution->key || keys_.empty()) return false;
  if (!keys_.insert(*execution->key).second) return false;
  members_.push_back(execution);
  return true;
}

const Parameters& Unit::Bind() {
  if (members_.size() == 1) return members_.front()->parameters;
  std::string* array = joined_.Begin();
  array->append(kBefore);
  for (const Execution* member : members_) {
    if (member != members_.front()) array->push_back(',');
    array->append(RequestOf(*member));
  }
  array->append(kAfter);
  joined_.End();
  return joined_;
}

void Unit::Spread(Rows rows) {
  if (members_.size() == 1) {
    members_.front()->rows = std::move(rows);
    return;
  }
  std::vector<Rows> parts = rows.Split(kCallColumn, static_cast<int>(members_.size()));
  for (size_t i = 0; i < members_.size(); ++i) members_[i]->rows = std::move(parts[i]);
}

}  // namespace twi::sql

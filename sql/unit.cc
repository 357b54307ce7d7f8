#include "sql/unit.h"

#include <utility>

#include "sql/big_endian.h"

namespace twi::sql {
namespace {

// A jsonb of one request is the version of its format and `[request]`.
constexpr std::string_view kBefore = "\1[";
constexpr std::string_view kAfter = "]";

// Of an array in binary format.
constexpr uint32_t kDimensions = 1;
constexpr uint32_t kMayHaveNulls = 1;
constexpr uint32_t kLowerBound = 1;
constexpr uint32_t kNull = 0xffffffff;

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

const Statement& Unit::sent() const {
  const Statement* several = statement()->several.get();
  return members_.size() > 1 && several != nullptr ? *several : *statement();
}

bool Unit::Join(Execution* execution) {
  if (execution->statement != statement()) return false;
  if (statement()->several == nullptr) {
    if (!execution->key || keys_.empty()) return false;
    if (!keys_.insert(*execution->key).second) return false;
  }
  members_.push_back(execution);
  return true;
}

const Parameters& Unit::Bind() {
  if (members_.size() == 1) return members_.front()->parameters;
  if (statement()->several == nullptr) {
    BindRequests();
  } else {
    BindValues();
  }
  return joined_;
}

void Unit::BindRequests() {
  std::string* array = joined_.Begin();
  array->append(kBefore);
  for (const Execution* member : members_) {
    if (member != members_.front()) array->push_back(',');
    array->append(RequestOf(*member));
  }
  array->append(kAfter);
  joined_.End();
}

void Unit::BindValues() {
  const std::vector<Oid>& types = statement()->types;
  const auto count = static_cast<uint32_t>(members_.size());
  for (int i = 0; i < static_cast<int>(types.size()); ++i) {
    std::string* array = joined_.Begin();
    for (const uint32_t word : {kDimensions, kMayHaveNulls, types[i], count, kLowerBound}) {
      AppendBigEndian(word, array);
    }
    for (const Execution* member : members_) {
      const std::string_view value = member->parameters.value(i);
      const bool null = member->parameters.is_null(i);
      AppendBigEndian(null ? kNull : static_cast<uint32_t>(value.size()), array);
      array->append(value);
    }
    joined_.End();
  }
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

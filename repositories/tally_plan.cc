#include "repositories/tally_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "repositories/binary_format.h"
#include "repositories/postgres_types.h"
#include "repositories/wire_format.h"

namespace twi::repositories {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

TallyPlan TallyPlan::Make(const Descriptor* response, const std::vector<sql::Column>& columns,
                          std::vector<std::string>* problems) {
  TallyPlan plan;
  plan.columns_ = columns;
  for (int i = 0; i < response->field_count(); ++i) {
    const FieldDescriptor* field = response->field(i);
    const auto column = std::ranges::find(columns, field->name(), &sql::Column::name);
    if (field->type() != FieldDescriptor::TYPE_INT64 || field->is_repeated()) {
      problems->push_back(absl::StrCat("streams in, so that ", response->name(), ".", field->name(),
                                       " is a sum: make it int64"));
    } else if (column == columns.end() || column->type != kInt8) {
      problems->push_back(absl::StrCat("field ", response->name(), ".", field->name(),
                                       " adds up a bigint column: select one as ", field->name()));
    } else {
      plan.sums_.emplace_back(static_cast<int>(column - columns.begin()), field);
    }
  }
  for (const sql::Column& column : columns) {
    if (column.name == sql::kCallColumn || response->FindFieldByName(column.name) != nullptr) {
      continue;
    }
    problems->push_back(absl::StrCat("column ", column.name, " fills no field of ",
                                     response->name(), ": leave it out or add the field"));
  }
  return plan;
}

void TallyPlan::Add(const sql::Rows& rows, Tally* tally) const {
  tally->sums.resize(sums_.size());
  for (size_t i = 0; i < sums_.size(); ++i) {
    for (int row = 0; row < rows.size(); ++row) {
      const std::string_view value = rows.value(row, sums_[i].first);
      if (!value.empty()) tally->sums[i] += ReadInteger(value);
    }
  }
}

void TallyPlan::Encode(const Tally& tally, std::string* response) const {
  for (size_t i = 0; i < tally.sums.size(); ++i) {
    AppendVarint(TagOf(*sums_[i].second), response);
    AppendVarint(static_cast<uint64_t>(tally.sums[i]), response);
  }
}

}  // namespace twi::repositories

#include "repositories/rows.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "repositories/postgres_types.h"
#include "repositories/wire_format.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

/// A message that several columns fill. Those of google.protobuf are values: one column fills them.
bool IsRecord(const FieldDescriptor& field) {
  return field.message_type() != nullptr &&
         !field.message_type()->full_name().starts_with("google.protobuf.");
}

/// Pairs the columns of one result with fields, each column with one.
class Pairing {
 public:
  Pairing(const std::vector<sql::Column>& columns, std::vector<std::string>* problems,
          std::vector<std::string>* warnings)
      : columns_(columns), fields_(columns.size()), problems_(problems), warnings_(warnings) {
    for (size_t i = 0; i < columns.size(); ++i) {
      if (Find(columns[i].name) == static_cast<int>(i)) continue;
      problems->push_back(absl::StrCat("two columns are called ", columns[i].name,
                                       ": name one of them otherwise with as"));
    }
  }

  /// The column called `name`, or -1.
  int Find(std::string_view name) const {
    const auto found = std::ranges::find(columns_, name, &sql::Column::name);
    return found == columns_.end() ? -1 : static_cast<int>(found - columns_.begin());
  }

  /// A cell for each field of `type` but `except`.
  std::vector<Cell> PairFields(const Descriptor& type, const FieldDescriptor* except = nullptr) {
    std::vector<Cell> cells;
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor* field = type.field(i);
      if (field == except) continue;
      const int column = Find(field->name());
      if (column < 0) {
        problems_->push_back(absl::StrCat("field ", type.name(), ".", field->name(),
                                          " has no column: select a ", NaturalType(*field), " as ",
                                          field->name()));
        continue;
      }
      cells.push_back(Pair(column, field, false));
    }
    return cells;
  }

  Cell Pair(int column, const FieldDescriptor* field, bool element) {
    if (fields_[column] != nullptr) {
      problems_->push_back(absl::StrCat("column ", columns_[column].name, " is meant by ",
                                        fields_[column]->containing_type()->name(), " and by ",
                                        field->containing_type()->name(),
                                        ": rename the field of one of them"));
    }
    fields_[column] = field;
    Cell cell(column, columns_[column], field, element);
    cell.Check(columns_[column], problems_, warnings_);
    return cell;
  }

  /// Columns that no field has taken, but for `fieldless`.
  std::vector<int> Rest(const std::vector<std::string>& fieldless) const {
    std::vector<int> rest;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const bool is_key = std::ranges::find(fieldless, columns_[i].name) != fieldless.end();
      if (fields_[i] == nullptr && !is_key) rest.push_back(static_cast<int>(i));
    }
    return rest;
  }

 private:
  const std::vector<sql::Column>& columns_;
  std::vector<const FieldDescriptor*> fields_;  ///< What each column fills.
  std::vector<std::string>* problems_;
  std::vector<std::string>* warnings_;
};

/// The response's one repeated field with nothing beside it but a page token; or null.
const FieldDescriptor* ElementsField(const Descriptor& response) {
  const FieldDescriptor* elements = nullptr;
  for (int i = 0; i < response.field_count(); ++i) {
    const FieldDescriptor* field = response.field(i);
    if (field->name() == "next_page_token") continue;
    if (!field->is_repeated() || field->is_map() || elements != nullptr) return nullptr;
    elements = field;
  }
  return elements;
}

/// The response's one singular message without a column of its name that could be one; or null. A
/// text `quote` does not fill a message `quote`: it is a column of the resource.
const FieldDescriptor* ResourceField(const Descriptor& response, const Pairing& pairing,
                                     const std::vector<sql::Column>& columns) {
  const FieldDescriptor* resource = nullptr;
  for (int i = 0; i < response.field_count(); ++i) {
    const FieldDescriptor* field = response.field(i);
    if (field->is_repeated() || !IsRecord(*field)) continue;
    const int column = pairing.Find(field->name());
    if (column >= 0 && IsJson(columns[column].type)) continue;
    if (resource != nullptr) return nullptr;
    resource = field;
  }
  return resource;
}

/// The column of elements that are values: the one of the field's name, the only one that needs
/// a field, or the only one.
int ElementColumn(const FieldDescriptor& elements, const std::vector<sql::Column>& columns,
                  const std::vector<std::string>& fieldless, const Pairing& pairing) {
  const int named = pairing.Find(elements.name());
  if (named >= 0) return named;
  const std::vector<int> rest = pairing.Rest(fieldless);
  if (rest.size() == 1) return rest[0];
  return columns.size() == 1 ? 0 : -1;
}

}  // namespace

bool Fits(const sql::Rows& rows, const std::vector<sql::Column>& columns) {
  const auto count = static_cast<int>(columns.size());
  const int more = rows.columns() - count;
  if (more != 0 && (more != 1 || rows.column_name(count) != sql::kCallColumn)) return false;
  for (size_t i = 0; i < columns.size(); ++i) {
    const int column = static_cast<int>(i);
    if (rows.column_type(column) != columns[i].type ||
        rows.column_name(column) != columns[i].name) {
      return false;
    }
  }
  return true;
}

RowPlan RowPlan::Make(const Descriptor* response, const std::vector<sql::Column>& columns,
                      const std::vector<std::string>& fieldless, std::vector<std::string>* problems,
                      std::vector<std::string>* warnings) {
  RowPlan plan;
  plan.columns_ = columns;
  if (response->field_count() == 0) return plan;

  Pairing pairing(columns, problems, warnings);
  if ((plan.outer_ = ElementsField(*response)) != nullptr) {
    plan.shape_ = Shape::kElements;
    if (IsRecord(*plan.outer_)) {
      plan.inner_cells_ = pairing.PairFields(*plan.outer_->message_type());
    } else if (const int column = ElementColumn(*plan.outer_, columns, fieldless, pairing);
               column >= 0) {
      plan.inner_cells_.push_back(pairing.Pair(column, plan.outer_, true));
    } else {
      problems->push_back(absl::StrCat("field ", response->name(), ".", plan.outer_->name(),
                                       " takes one column: call it ", plan.outer_->name()));
    }
  } else if ((plan.outer_ = ResourceField(*response, pairing, columns)) != nullptr) {
    plan.shape_ = Shape::kResource;
    plan.outer_cells_ = pairing.PairFields(*response, plan.outer_);
    plan.inner_cells_ = pairing.PairFields(*plan.outer_->message_type());
  } else {
    plan.shape_ = Shape::kRecord;
    plan.outer_cells_ = pairing.PairFields(*response);
  }

  const std::string& filled = plan.outer_ != nullptr && IsRecord(*plan.outer_)
                                  ? plan.outer_->message_type()->name()
                                  : response->name();
  for (int column : pairing.Rest(fieldless)) {
    problems->push_back(absl::StrCat("column ", columns[column].name, " fills no field of ", filled,
                                     ": leave it out or add the field"));
  }
  return plan;
}

absl::Status RowPlan::Encode(const sql::Rows& rows, int count, std::string* out) const {
  if (shape_ == Shape::kNothing) return absl::OkStatus();
  if (shape_ == Shape::kRecord) return EncodeMessage(rows, 0, outer_cells_, out);
  if (!IsRecord(*outer_)) return EncodeScalars(rows, count, out);
  const uint32_t tag = TagOf(*outer_);
  for (int row = 0; row < count; ++row) {
    AppendVarint(tag, out);
    LengthPrefix message(out);
    absl::Status status = EncodeMessage(rows, row, inner_cells_, out);
    if (!status.ok()) return status;
    message.Finish();
  }
  return shape_ == Shape::kResource ? EncodeMessage(rows, 0, outer_cells_, out) : absl::OkStatus();
}

absl::Status RowPlan::EncodeMessage(const sql::Rows& rows, int row, const std::vector<Cell>& cells,
                                    std::string* out) const {
  uint64_t oneofs = 0;  // Bit n: a member of the n-th is there.
  for (const Cell& cell : cells) {
    const std::string_view value = rows.value(row, cell.index());
    if (value.empty() && rows.is_null(row, cell.index())) continue;
    if (cell.oneof() >= 0) {
      const uint64_t bit = uint64_t{1} << cell.oneof();
      if ((oneofs & bit) != 0) {
        return cell.Unrepresentable("is not the only one of its oneof that is not NULL");
      }
      oneofs |= bit;
    }
    absl::Status status = cell.Append(value, out);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status RowPlan::EncodeScalars(const sql::Rows& rows, int count, std::string* out) const {
  if (count == 0) return absl::OkStatus();
  const Cell& cell = inner_cells_.front();
  std::optional<LengthPrefix> packed;
  if (outer_->is_packed()) {
    AppendVarint(cell.tag(), out);
    packed.emplace(out);
  }
  for (int row = 0; row < count; ++row) {
    const std::string_view value = rows.value(row, cell.index());
    if (rows.is_null(row, cell.index())) return cell.Unrepresentable("is a NULL element");
    absl::Status status = packed ? cell.AppendBare(value, out) : cell.Append(value, out);
    if (!status.ok()) return status;
  }
  if (packed) packed->Finish();
  return absl::OkStatus();
}

}  // namespace twi::repositories

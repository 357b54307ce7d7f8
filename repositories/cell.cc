#include "repositories/cell.h"

#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "repositories/binary_format.h"
#include "repositories/enum_names.h"
#include "repositories/json_reader.h"
#include "repositories/json_writer.h"
#include "repositories/postgres_types.h"
#include "repositories/wire_format.h"
#include "sql/errors.h"
#include "sql/text.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

/// Whether every value of `type` that a column usually has can be told by one value of `field`,
/// json for messages aside.
bool Reads(const FieldDescriptor& field, sql::Oid type) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return type == kInt4 || type == kInt2;
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return IsInteger(type);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return type == kFloat4;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return type == kFloat4 || type == kFloat8;
    case FieldDescriptor::CPPTYPE_BOOL:
      return type == kBool;
    case FieldDescriptor::CPPTYPE_ENUM:
      return IsText(type) || IsInteger(type);
    case FieldDescriptor::CPPTYPE_STRING:
      if (field.type() == FieldDescriptor::TYPE_BYTES) return type == kBytea;
      return IsText(type) || IsJson(type) || type == kUuid;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  switch (field.message_type()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return type == kTimestamptz || type == kTimestamp || type == kDate;
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return type == kInterval;
    default:
      return false;
  }
}

std::string_view JsonText(sql::Oid type, std::string_view value) {
  return type == kJsonb ? value.substr(1) : value;
}

/// 00112233-4455-6677-8899-aabbccddeeff.
std::string UuidText(std::string_view bytes) {
  std::string text = absl::BytesToHexString(ToAbsl(bytes));
  for (size_t dash : {20, 16, 12, 8}) text.insert(dash, 1, '-');
  return text;
}

}  // namespace

Cell::Cell(int index, const sql::Column& column, const FieldDescriptor* field, bool element)
    : index_(index),
      name_(column.name),
      field_(field),
      field_type_(field->type()),
      tag_(TagOf(*field)),
      type_(column.type),
      element_(element),
      array_(field->is_repeated() && !element && ElementType(column.type) != 0),
      json_(IsJson(column.type) &&
            (field->message_type() != nullptr || (field->is_repeated() && !element))),
      implicit_(!field->has_presence() && !field->is_repeated()),
      oneof_(-1) {
  if (array_) type_ = ElementType(column.type);
  if (field->real_containing_oneof() != nullptr) oneof_ = field->real_containing_oneof()->index();
}

void Cell::Check(const sql::Column& column, std::vector<std::string>* problems,
                 std::vector<std::string>* warnings) const {
  const std::string field = absl::StrCat(field_->containing_type()->name(), ".", field_->name());
  const bool whole_list = field_->is_repeated() && !element_;
  if (!json_ && (whole_list != array_ || !Reads(*field_, type_))) {
    const char* wider = IsInteger(type_) && field_->cpp_type() == FieldDescriptor::CPPTYPE_INT32
                            ? "make the field int64 or "
                        : type_ == kFloat8 && field_type_ == FieldDescriptor::TYPE_FLOAT
                            ? "make the field double or "
                            : "";
    problems->push_back(absl::StrCat("column ", name_, " is ", TypeName(column.type), " but field ",
                                     field, " is ", FieldTypeName(*field_), ": ", wider,
                                     "cast it, ", name_, "::", NaturalType(*field_)));
  }
  if (json_ || (field_->enum_type() != nullptr && IsText(type_))) {
    for (std::string& problem : JsonProblems(*field_)) problems->push_back(std::move(problem));
  }
  const bool null_is_told =
      field_->has_presence() || (field_->enum_type() != nullptr && !field_->is_repeated());
  if (column.table != 0 && !column.not_null && !null_is_told) {
    warnings->push_back(absl::StrCat("column ", name_, " may be NULL but field ", field,
                                     " has no presence: make it optional or say coalesce(", name_,
                                     ", ...)"));
  }
}

absl::Status Cell::Unrepresentable(std::string_view why) const {
  return sql::Error(absl::StatusCode::kDataLoss, "VALUE_UNREPRESENTABLE",
                    absl::StrCat("column ", name_, " ", ToAbsl(why)), {{"column", name_}});
}

absl::Status Cell::Append(std::string_view value, std::string* out) const {
  if (json_) return AppendJson(value, out);
  if (array_) return AppendArray(value, out);
  TaggedValue tagged(tag_, out);
  absl::Status status = AppendBare(value, out);
  if (implicit_) tagged.DropDefault();
  return status;
}

absl::Status Cell::AppendBare(std::string_view value, std::string* out) const {
  switch (type_) {
    case kInt8:
    case kInt4:
    case kInt2:
      return AppendNumber(ReadInteger(value), out);
    case kBool:
      out->push_back(value[0]);
      return absl::OkStatus();
    case kFloat4:
    case kFloat8:
      AppendReal(ReadReal(value), field_type_ == FieldDescriptor::TYPE_FLOAT, out);
      return absl::OkStatus();
    case kTimestamptz:
    case kTimestamp: {
      const auto micros = ReadBigEndian<int64_t>(value);
      return AppendTime(micros / kMicrosecond, micros % kMicrosecond, out);
    }
    case kDate:
      return AppendTime(ReadBigEndian<int32_t>(value) * kDaySeconds, 0, out);
    case kInterval:
      return AppendInterval(value, out);
    case kUuid:
      AppendBytes(UuidText(value), out);
      return absl::OkStatus();
    default:
      return AppendText(JsonText(type_, value), out);
  }
}

absl::Status Cell::AppendNumber(int64_t value, std::string* out) const {
  bool fits = true;
  switch (field_type_) {
    case FieldDescriptor::TYPE_ENUM:
      fits = std::in_range<int>(value) &&
             field_->enum_type()->FindValueByNumber(static_cast<int>(value)) != nullptr;
      break;
    case FieldDescriptor::TYPE_UINT32:
    case FieldDescriptor::TYPE_FIXED32:
      fits = std::in_range<uint32_t>(value);
      break;
    case FieldDescriptor::TYPE_UINT64:
    case FieldDescriptor::TYPE_FIXED64:
      fits = value >= 0;
      break;
    default:
      break;
  }
  if (!fits) return Unrepresentable(absl::StrCat("holds no ", FieldTypeName(*field_)));
  AppendInteger(field_type_, value, out);
  return absl::OkStatus();
}

absl::Status Cell::AppendText(std::string_view value, std::string* out) const {
  if (field_type_ != FieldDescriptor::TYPE_ENUM) {
    AppendBytes(value, out);
    return absl::OkStatus();
  }
  const auto* known = FindByDatabaseName(*field_->enum_type(), value);
  if (known == nullptr) {
    return Unrepresentable(absl::StrCat("holds no name of ", field_->enum_type()->name()));
  }
  AppendInteger(field_type_, known->number(), out);
  return absl::OkStatus();
}

absl::Status Cell::AppendTime(int64_t seconds, int64_t micros, std::string* out) const {
  seconds += kPostgresEpoch;
  if (micros < 0) {
    micros += kMicrosecond;
    --seconds;
  }
  // Infinite times are beyond both ends too.
  if (seconds < kFirstSecond || seconds > kLastSecond) {
    return Unrepresentable("holds a time that is infinite or not in years 1 to 9999");
  }
  AppendSecondsAndNanos(seconds, static_cast<int32_t>(micros * 1000), out);
  return absl::OkStatus();
}

absl::Status Cell::AppendInterval(std::string_view value, std::string* out) const {
  const auto micros = ReadBigEndian<int64_t>(value);
  const auto days = ReadBigEndian<int32_t>(value.substr(8));
  const auto months = ReadBigEndian<int32_t>(value.substr(12));
  if (months != 0) return Unrepresentable("holds an interval of months, which have no one length");
  int64_t seconds = micros / kMicrosecond + days * kDaySeconds;
  int64_t nanos = micros % kMicrosecond * 1000;
  if (seconds > 0 && nanos < 0) {
    --seconds;
    nanos += 1'000'000'000;
  } else if (seconds < 0 && nanos > 0) {
    ++seconds;
    nanos -= 1'000'000'000;
  }
  if (seconds < -kLongestSeconds || seconds > kLongestSeconds) {
    return Unrepresentable("holds an interval of more than 10,000 years");
  }
  AppendSecondsAndNanos(seconds, static_cast<int32_t>(nanos), out);
  return absl::OkStatus();
}

absl::Status Cell::AppendJson(std::string_view value, std::string* out) const {
  const std::string_view text = JsonText(type_, value);
  std::string problem;
  const bool read = element_ && field_->is_repeated()
                        ? ReadJsonElement(*field_, text, out, &problem)
                        : ReadJson(*field_, text, out, &problem);
  return read ? absl::OkStatus() : Unrepresentable(absl::StrCat("does not fit: ", problem));
}

absl::Status Cell::AppendArray(std::string_view value, std::string* out) const {
  // Dimensions, whether there are NULLs, the elements' type; for each dimension size and first
  // index.
  constexpr size_t kHeader = 12;
  constexpr size_t kDimension = 8;
  const auto dimensions = ReadBigEndian<int32_t>(value);
  if (dimensions == 0) return absl::OkStatus();
  if (dimensions != 1) return Unrepresentable("holds an array of more than one dimension");
  const auto size = ReadBigEndian<int32_t>(value.substr(kHeader));
  value.remove_prefix(kHeader + kDimension);

  std::optional<LengthPrefix> packed;
  if (field_->is_packed()) {
    AppendVarint(tag_, out);
    packed.emplace(out);
  }
  for (int32_t i = 0; i < size; ++i) {
    const auto length = ReadBigEndian<int32_t>(value);
    if (length < 0) return Unrepresentable("holds an array with a NULL element");
    if (!packed) AppendVarint(tag_, out);
    absl::Status status = AppendBare(value.substr(4, static_cast<size_t>(length)), out);
    if (!status.ok()) return status;
    value.remove_prefix(4 + static_cast<size_t>(length));
  }
  if (packed) packed->Finish();
  return absl::OkStatus();
}

}  // namespace twi::repositories

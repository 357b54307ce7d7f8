#include "repositories/parameters.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "repositories/binary_format.h"
#include "repositories/enum_names.h"
#include "repositories/field_mask.h"
#include "repositories/field_path.h"
#include "repositories/field_value.h"
#include "repositories/json_writer.h"
#include "repositories/page_token.h"
#include "repositories/postgres_types.h"
#include "repositories/times.h"
#include "sql/errors.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::Duration;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Timestamp;

bool IsFieldMask(const FieldDescriptor& field) {
  return field.message_type() != nullptr && !field.is_repeated() &&
         field.message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_FIELDMASK;
}

/// Whether one value of `field` has a form as `type`, json aside.
bool Binds(const FieldDescriptor& field, sql::Oid type) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return IsInteger(type);
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return type == kFloat4 || type == kFloat8;
    case FieldDescriptor::CPPTYPE_BOOL:
      return type == kBool;
    case FieldDescriptor::CPPTYPE_ENUM:
      return IsInteger(type) || IsText(type);
    case FieldDescriptor::CPPTYPE_STRING:
      if (field.type() == FieldDescriptor::TYPE_BYTES) return type == kBytea;
      return IsText(type) || type == kJson;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  switch (field.message_type()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return type == kTimestamptz || type == kTimestamp;
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return type == kInterval;
    default:
      return false;
  }
}

/// Messages and repeated fields become json as a whole; a string is put into json as it is.
bool BindsAsJson(const FieldDescriptor& field, sql::Oid type) {
  return IsJson(type) && (field.message_type() != nullptr || field.is_repeated());
}

void CheckType(const std::string& name, const FieldDescriptor& field, sql::Oid type,
               std::vector<std::string>* problems) {
  if (BindsAsJson(field, type)) {
    for (std::string& problem : JsonProblems(field)) problems->push_back(std::move(problem));
    return;
  }
  const sql::Oid element = ElementType(type);
  const bool binds = IsFieldMask(field)    ? IsText(element)
                     : field.is_repeated() ? !IsJson(element) && Binds(field, element)
                                           : Binds(field, type);
  if (!binds) {
    problems->push_back(absl::StrCat("field ", name, " is ", FieldTypeName(field),
                                     " but the statement takes ", TypeName(type),
                                     ": cast it, :", name, "::", NaturalType(field)));
  } else if (field.enum_type() != nullptr && !IsInteger(field.is_repeated() ? element : type)) {
    for (std::string& problem : JsonProblems(field)) problems->push_back(std::move(problem));
  }
}

template <typename T>
bool AppendInteger(const FieldValue& value, std::string* out, Violation* violation) {
  using Limits = std::numeric_limits<T>;
  const auto number = value.Integer();
  if (!number || *number < Limits::min() || *number > Limits::max()) {
    violation->description =
        absl::StrCat("must be between ", Limits::min(), " and ", Limits::max());
    return false;
  }
  const auto* type = value.field().enum_type();
  if (type != nullptr && type->FindValueByNumber(static_cast<int>(*number)) == nullptr) {
    violation->description = absl::StrCat("has no value ", *number);
    return false;
  }
  AppendBigEndian(static_cast<T>(*number), out);
  return true;
}

bool AppendReal4(const FieldValue& value, std::string* out, Violation* violation) {
  const double number = value.Real();
  const bool too_large =
      std::isfinite(number) && std::abs(number) > std::numeric_limits<float>::max();
  if (too_large) {
    violation->description = "must be within the range of a float";
    return false;
  }
  AppendFloat(static_cast<float>(number), out);
  return true;
}

bool AppendEnumName(const FieldValue& value, std::string* out, Violation* violation) {
  const int number = static_cast<int>(*value.Integer());
  const auto* known = value.field().enum_type()->FindValueByNumber(number);
  if (known == nullptr || number == 0) {
    violation->description =
        number == 0 ? "must not be UNSPECIFIED" : absl::StrCat("has no value ", number);
    return false;
  }
  for (char c : UpperName(*known)) out->push_back(absl::ascii_tolower(c));
  return true;
}

bool AppendText(std::string_view text, std::string* out, Violation* violation) {
  if (text.find('\0') != text.npos) {
    violation->reason = "TEXT_CONTAINS_NUL";
    violation->description = "must not contain U+0000";
    return false;
  }
  out->append(text);
  return true;
}

bool AppendTimestamp(const Timestamp& time, std::string* out, Violation* violation) {
  if (!IsValid(time, violation)) return false;
  AppendBigEndian((time.seconds() - kPostgresEpoch) * kMicrosecond + time.nanos() / 1000, out);
  return true;
}

bool AppendInterval(const Duration& duration, std::string* out, Violation* violation) {
  if (!IsValid(duration, violation)) return false;
  AppendBigEndian(duration.seconds() * kMicrosecond + duration.nanos() / 1000, out);
  AppendBigEndian<int32_t>(0, out);  // Days.
  AppendBigEndian<int32_t>(0, out);  // Months.
  return true;
}

/// Appends one value as `type`. REQUIRES: Binds(value.field(), type).
bool AppendValue(const FieldValue& value, sql::Oid type, std::string* out, Violation* violation) {
  switch (type) {
    case kInt8:
      return AppendInteger<int64_t>(value, out, violation);
    case kInt4:
      return AppendInteger<int32_t>(value, out, violation);
    case kInt2:
      return AppendInteger<int16_t>(value, out, violation);
    case kBool:
      out->push_back(static_cast<char>(*value.Integer()));
      return true;
    case kFloat4:
      return AppendReal4(value, out, violation);
    case kFloat8:
      AppendDouble(value.Real(), out);
      return true;
    case kTimestamptz:
    case kTimestamp:
      return AppendTimestamp(static_cast<const Timestamp&>(value.Message()), out, violation);
    case kInterval:
      return AppendInterval(static_cast<const Duration&>(value.Message()), out, violation);
    default:
      break;
  }
  if (value.field().enum_type() != nullptr) return AppendEnumName(value, out, violation);
  std::string scratch;
  if (type != kBytea) return AppendText(value.Text(&scratch), out, violation);
  out->append(value.Text(&scratch));
  return true;
}

/// Appends an array of one dimension whose elements `append(i)` appends in turn.
template <typename Append>
bool AppendArray(sql::Oid element, int size, std::string* out, Append append) {
  AppendBigEndian<int32_t>(size == 0 ? 0 : 1, out);  // Dimensions.
  AppendBigEndian<int32_t>(0, out);                  // No NULLs.
  AppendBigEndian<uint32_t>(element, out);
  if (size == 0) return true;
  AppendBigEndian<int32_t>(size, out);
  AppendBigEndian<int32_t>(1, out);  // The first index.
  for (int i = 0; i < size; ++i) {
    const size_t length = out->size();
    AppendBigEndian<int32_t>(0, out);
    if (!append(i)) return false;
    PutBigEndian(static_cast<int32_t>(out->size() - length - 4), out->data() + length);
  }
  return true;
}

bool AppendRepeated(const Message& message, const FieldDescriptor* field, sql::Oid type,
                    std::string* out, Violation* violation) {
  const int size = message.GetReflection()->FieldSize(message, field);
  return AppendArray(type, size, out, [&](int i) {
    if (AppendValue(FieldValue(message, field, i), type, out, violation)) return true;
    violation->Prepend(field->name(), i);
    return false;
  });
}

/// `left` are names of fields that the statement does not take: they must not be named, and do not
/// count when they are only set.
bool AppendMask(const Message& message, const FieldDescriptor* mask,
                const std::vector<std::string_view>& left, sql::Oid type, std::string* out,
                Violation* violation) {
  auto paths = MaskPaths(message, *mask);
  const size_t untaken = std::erase_if(
      paths, [&](std::string_view path) { return std::ranges::find(left, path) != left.end(); });
  if (untaken > 0 && NamesPaths(message, *mask)) {
    violation->description = "must name fields that can be updated";
    violation->Prepend(mask->name());
    return false;
  }
  return AppendArray(type, static_cast<int>(paths.size()), out, [&](int i) {
    if (AppendText(paths[i], out, violation)) return true;
    violation->Prepend(mask->name());
    return false;
  });
}

/// Whether what `field` has in `message` is NULL for a parameter of `type`.
bool IsNull(const Message& message, const FieldDescriptor* field, sql::Oid type) {
  if (field->is_repeated() || IsUpdateMask(*field)) return false;
  if (field->has_presence() && !message.GetReflection()->HasField(message, field)) return true;
  return field->enum_type() != nullptr && !IsInteger(type) &&
         message.GetReflection()->GetEnumValue(message, field) == 0;
}

}  // namespace

ParameterPlan ParameterPlan::Make(const Descriptor* request, const std::vector<std::string>& names,
                                  const std::vector<sql::Oid>& types,
                                  std::vector<std::string>* problems) {
  ParameterPlan plan;
  for (size_t i = 0; i < names.size(); ++i) {
    Parameter parameter;
    parameter.type = types[i];
    absl::string_view key = names[i];
    if (names[i] == "page.size") {
      parameter.source = Source::kPageSize;
      if (types[i] != kInt8 && types[i] != kInt4) {
        problems->push_back(
            absl::StrCat("placeholder :page.size is a number but the statement takes ",
                         TypeName(types[i]), ": cast it, :page.size::bigint"));
      }
    } else if (absl::ConsumePrefix(&key, "page.after_") && absl::SimpleAtoi(key, &parameter.key)) {
      parameter.source = Source::kPageAfter;
    } else {
      std::string problem;
      parameter.path = FindPath(*request, names[i], &problem);
      if (parameter.path.empty()) {
        problems->push_back(absl::StrCat("placeholder :", names[i], " ", problem));
        continue;
      }
      const FieldDescriptor& field = *parameter.path.back();
      CheckType(names[i], field, types[i], problems);
      parameter.array = ElementType(types[i]) != 0;
      if (parameter.array) parameter.type = ElementType(types[i]);
    }
    plan.parameters_.push_back(std::move(parameter));
  }
  for (Parameter& parameter : plan.parameters_) {
    if (parameter.path.empty() || !IsUpdateMask(*parameter.path.back())) continue;
    for (const auto* field : MaskableFields(*parameter.path.back()->containing_type())) {
      if (!plan.Takes(field)) parameter.left.push_back(field->name());
    }
  }
  return plan;
}

bool ParameterPlan::Takes(const FieldDescriptor* field) const {
  return std::ranges::any_of(parameters_, [field](const Parameter& parameter) {
    if (parameter.path.empty()) return false;
    const bool whole = parameter.path.back()->message_type() == field->containing_type();
    return whole || std::ranges::find(parameter.path, field) != parameter.path.end();
  });
}

std::vector<std::string> ParameterPlan::UnusedFields(const Descriptor* request) const {
  std::vector<std::string> unused;
  for (int i = 0; i < request->field_count(); ++i) {
    const FieldDescriptor* field = request->field(i);
    if (!Takes(field)) unused.push_back(field->name());
  }
  return unused;
}

absl::Status ParameterPlan::Bind(const Message& request, const PageArguments* page,
                                 sql::Parameters* out) const {
  Violation violation;
  out->Reserve(parameters_.size());
  for (const Parameter& parameter : parameters_) {
    if (parameter.source == Source::kField) {
      if (!BindField(request, parameter, out, &violation)) return violation.ToStatus();
    } else if (page == nullptr) {
      return sql::Error(absl::StatusCode::kInternal, "INTERNAL",
                        "a page is bound without its size");
    } else if (parameter.source == Source::kPageAfter) {
      if (parameter.key >= static_cast<int>(page->after.size())) {
        return sql::Error(absl::StatusCode::kInternal, "INTERNAL",
                          "a page is bound without its key");
      }
      const std::string& key = page->after[parameter.key];
      // A token may be made by hand, and a broken protocol is a broken connection to the database.
      if (!IsWhole(parameter.type, key)) return PageToken::Damaged();
      out->Add(key);
    } else if (parameter.type == kInt8) {
      AppendBigEndian(page->size_plus_one, out->Begin());
      out->End();
    } else {
      const int64_t size =
          std::min<int64_t>(page->size_plus_one, std::numeric_limits<int32_t>::max());
      AppendBigEndian(static_cast<int32_t>(size), out->Begin());
      out->End();
    }
  }
  return absl::OkStatus();
}

std::optional<std::string> ParameterPlan::Text(const Message& request, int placeholder,
                                               bool number) const {
  const auto index = static_cast<size_t>(placeholder) - 1;
  if (index >= parameters_.size()) return std::nullopt;
  const Parameter& parameter = parameters_[index];
  const bool fits =
      number ? IsInteger(parameter.type) : parameter.type == kText || parameter.type == kVarchar;
  if (!fits || parameter.array || parameter.source != Source::kField) return std::nullopt;
  sql::Parameters bound;
  Violation violation;
  if (!BindField(request, parameter, &bound, &violation) || bound.is_null(0)) return std::nullopt;
  const std::string_view value = bound.value(0);
  return number ? absl::StrCat(ReadInteger(value)) : std::string(value);
}

bool ParameterPlan::BindField(const Message& request, const Parameter& parameter,
                              sql::Parameters* out, Violation* violation) {
  const Message* message = &request;
  const FieldDescriptor* field = parameter.path.back();
  for (size_t i = 0; i + 1 < parameter.path.size(); ++i) {
    if (!message->GetReflection()->HasField(*message, parameter.path[i])) {
      out->AddNull();
      return true;
    }
    message = &message->GetReflection()->GetMessage(*message, parameter.path[i]);
  }
  if (IsNull(*message, field, parameter.type)) {
    out->AddNull();
    return true;
  }

  std::string* bytes = out->Begin();
  bool bound = false;
  if (BindsAsJson(*field, parameter.type)) {
    if (parameter.type == kJsonb) bytes->push_back(kJsonbVersion);
    bound = AppendJson(*message, field, bytes, violation);
  } else if (parameter.array && IsFieldMask(*field)) {
    bound = AppendMask(*message, field, parameter.left, parameter.type, bytes, violation);
  } else if (parameter.array) {
    bound = AppendRepeated(*message, field, parameter.type, bytes, violation);
  } else {
    bound = AppendValue(FieldValue(*message, field), parameter.type, bytes, violation);
    if (!bound) violation->Prepend(field->name());
  }
  out->End();
  if (bound) return true;
  for (size_t i = parameter.path.size() - 1; i-- > 0;)
    violation->Prepend(parameter.path[i]->name());
  return false;
}

}  // namespace twi::repositories

#include "repositories/json_writer.h"

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/civil_time.h"
#include "absl/time/time.h"
#include "google/protobuf/struct.pb.h"
#include "repositories/enum_names.h"
#include "repositories/field_mask.h"
#include "repositories/field_value.h"
#include "repositories/times.h"
#include "sql/text.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::Duration;
using google::protobuf::FieldDescriptor;
using google::protobuf::ListValue;
using google::protobuf::Message;
using google::protobuf::Struct;
using google::protobuf::Timestamp;
using google::protobuf::Value;

/// Objects and arrays in one another that are taken. An object is three messages, of which clients
/// refuse more than 100 in one another: what is stored must be readable, also in a list of records.
constexpr int kDeepest = 25;

bool AppendString(std::string_view text, std::string* out, Violation* violation) {
  out->push_back('"');
  size_t plain = 0;  // Where the text starts that is not written yet.
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    if (c == 0) {
      violation->reason = "TEXT_CONTAINS_NUL";
      violation->description = "must not contain U+0000";
      return false;
    }
    out->append(text, plain, i - plain);
    plain = i + 1;
    if (c < 0x20) {
      absl::StrAppend(out, "\\u", absl::Hex(c, absl::kZeroPad4));
    } else {
      out->push_back('\\');
      out->push_back(text[i]);
    }
  }
  out->append(text, plain);
  out->push_back('"');
  return true;
}

/// The shortest text that reads back as the same number.
template <typename T>
void AppendNumber(T number, std::string* out) {
  char text[32];
  out->append(text, std::to_chars(text, text + sizeof(text), number).ptr);
}

/// A number of free-form JSON. All digits of an integer that 64 bits may hold: one that is written
/// shorter would be read as an integer that a double cannot tell.
void AppendDouble(double number, std::string* out) {
  constexpr double kFirst = 0x1p53;
  constexpr double kEnd = 0x1p64;
  if (std::abs(number) < kFirst || std::abs(number) >= kEnd) return AppendNumber(number, out);
  absl::StrAppendFormat(out, "%.0f", number);
}

void AppendReal(const FieldValue& value, std::string* out) {
  const double number = value.Real();
  if (std::isnan(number)) {
    out->append("\"NaN\"");
  } else if (std::isinf(number)) {
    out->append(number > 0 ? "\"Infinity\"" : "\"-Infinity\"");
  } else if (value.field().cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
    AppendNumber(static_cast<float>(number), out);
  } else {
    AppendNumber(number, out);
  }
}

bool AppendEnum(const FieldValue& value, std::string* out, Violation* violation) {
  const int number = static_cast<int>(*value.Integer());
  if (number == 0 && value.field().is_repeated()) {
    // A response could not tell a list with a NULL element.
    violation->description = "must not be UNSPECIFIED";
    return false;
  }
  if (number == 0) {
    out->append("null");
    return true;
  }
  const auto* known = value.field().enum_type()->FindValueByNumber(number);
  if (known == nullptr) {
    violation->description = absl::StrCat("has no value ", number);
    return false;
  }
  out->push_back('"');
  for (char c : UpperName(*known)) out->push_back(absl::ascii_tolower(c));
  out->push_back('"');
  return true;
}

bool AppendTimestamp(const Timestamp& time, std::string* out, Violation* violation) {
  if (!IsValid(time, violation)) return false;
  const auto second =
      absl::ToCivilSecond(absl::FromUnixSeconds(time.seconds()), absl::UTCTimeZone());
  absl::StrAppendFormat(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"", second.year(),
                        second.month(), second.day(), second.hour(), second.minute(),
                        second.second(), time.nanos() / 1000);
  return true;
}

bool AppendDuration(const Duration& duration, std::string* out, Violation* violation) {
  if (!IsValid(duration, violation)) return false;
  const bool negative = duration.seconds() < 0 || duration.nanos() < 0;
  absl::StrAppendFormat(out, "\"%s%d.%06ds\"", negative ? "-" : "", std::abs(duration.seconds()),
                        std::abs(duration.nanos()) / 1000);
  return true;
}

/// `depth` is in how many objects and arrays of JSON the value is.
bool AppendValue(const Value& value, int depth, std::string* out, Violation* violation);

bool MayNest(int depth, Violation* violation) {
  if (depth <= kDeepest) return true;
  violation->description = "is nested too deeply";
  return false;
}

bool AppendStruct(const Struct& object, int depth, std::string* out, Violation* violation) {
  if (!MayNest(depth, violation)) return false;
  char separator = '{';
  for (const auto& [key, value] : object.fields()) {
    out->push_back(separator);
    separator = ',';
    if (!AppendString(key, out, violation)) return false;
    out->push_back(':');
    if (!AppendValue(value, depth, out, violation)) {
      violation->Prepend(key);
      return false;
    }
  }
  out->append(separator == '{' ? "{}" : "}");
  return true;
}

bool AppendList(const ListValue& list, int depth, std::string* out, Violation* violation) {
  if (!MayNest(depth, violation)) return false;
  out->push_back('[');
  for (int i = 0; i < list.values_size(); ++i) {
    if (i > 0) out->push_back(',');
    if (!AppendValue(list.values(i), depth, out, violation)) {
      violation->Prepend("", i);
      return false;
    }
  }
  out->push_back(']');
  return true;
}

bool AppendValue(const Value& value, int depth, std::string* out, Violation* violation) {
  switch (value.kind_case()) {
    case Value::kNumberValue:
      if (!std::isfinite(value.number_value())) {
        violation->description = "must be a finite number";
        return false;
      }
      AppendDouble(value.number_value(), out);
      return true;
    case Value::kStringValue:
      return AppendString(value.string_value(), out, violation);
    case Value::kBoolValue:
      out->append(value.bool_value() ? "true" : "false");
      return true;
    case Value::kStructValue:
      return AppendStruct(value.struct_value(), depth + 1, out, violation);
    case Value::kListValue:
      return AppendList(value.list_value(), depth + 1, out, violation);
    case Value::kNullValue:
    case Value::KIND_NOT_SET:
      break;
  }
  out->append("null");
  return true;
}

bool AppendPaths(const FieldValue& mask, std::string* out, Violation* violation) {
  char separator = '[';
  for (std::string_view path : MaskPaths(mask.parent(), mask.field())) {
    out->push_back(separator);
    separator = ',';
    if (!AppendString(path, out, violation)) return false;
  }
  out->append(separator == '[' ? "[]" : "]");
  return true;
}

bool AppendObject(const Message& message, std::string* out, Violation* violation) {
  const Descriptor* type = message.GetDescriptor();
  char separator = '{';
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->has_presence() && !IsUpdateMask(*field) &&
        !message.GetReflection()->HasField(message, field)) {
      continue;
    }
    out->push_back(separator);
    separator = ',';
    absl::StrAppend(out, "\"", field->name(), "\":");
    if (!AppendJson(message, field, out, violation)) return false;
  }
  out->append(separator == '{' ? "{}" : "}");
  return true;
}

bool AppendMessage(const FieldValue& value, std::string* out, Violation* violation) {
  const Message& message = value.Message();
  switch (message.GetDescriptor()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return AppendTimestamp(static_cast<const Timestamp&>(message), out, violation);
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return AppendDuration(static_cast<const Duration&>(message), out, violation);
    case Descriptor::WELLKNOWNTYPE_STRUCT:
      return AppendStruct(static_cast<const Struct&>(message), 1, out, violation);
    case Descriptor::WELLKNOWNTYPE_LISTVALUE:
      return AppendList(static_cast<const ListValue&>(message), 1, out, violation);
    case Descriptor::WELLKNOWNTYPE_VALUE:
      return AppendValue(static_cast<const Value&>(message), 0, out, violation);
    case Descriptor::WELLKNOWNTYPE_FIELDMASK:
      return AppendPaths(value, out, violation);
    default:
      return AppendObject(message, out, violation);
  }
}

bool AppendElement(const FieldValue& value, std::string* out, Violation* violation) {
  std::string scratch;
  switch (value.field().cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
      AppendNumber(*value.Integer(), out);
      return true;
    case FieldDescriptor::CPPTYPE_UINT64:
      AppendNumber(value.Unsigned(), out);
      return true;
    case FieldDescriptor::CPPTYPE_BOOL:
      out->append(*value.Integer() != 0 ? "true" : "false");
      return true;
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      AppendReal(value, out);
      return true;
    case FieldDescriptor::CPPTYPE_ENUM:
      return AppendEnum(value, out, violation);
    case FieldDescriptor::CPPTYPE_STRING:
      if (value.field().type() == FieldDescriptor::TYPE_STRING) {
        return AppendString(value.Text(&scratch), out, violation);
      }
      absl::StrAppend(out, "\"\\\\x", absl::BytesToHexString(ToAbsl(value.Text(&scratch))), "\"");
      return true;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return AppendMessage(value, out, violation);
}

void FindProblems(const FieldDescriptor& field, absl::flat_hash_set<const Descriptor*>* seen,
                  std::vector<std::string>* problems) {
  if (field.is_map()) {
    problems->push_back(absl::StrCat("field ", field.full_name(),
                                     " is a map: make it a Struct or a repeated message"));
    return;
  }
  if (field.enum_type() != nullptr && !HasDatabaseNames(*field.enum_type())) {
    problems->push_back(absl::StrCat("enum ", field.enum_type()->full_name(),
                                     " has no value <PREFIX>_UNSPECIFIED = 0 whose prefix all the "
                                     "others share: name its values so"));
  }
  const Descriptor* type = field.message_type();
  if (type == nullptr || !seen->insert(type).second) return;
  if (type->well_known_type() == Descriptor::WELLKNOWNTYPE_FIELDMASK && field.is_repeated()) {
    problems->push_back(absl::StrCat("field ", field.full_name(),
                                     " is a list of masks: make it a repeated string"));
  }
  if (type->well_known_type() != Descriptor::WELLKNOWNTYPE_UNSPECIFIED) return;
  for (int i = 0; i < type->field_count(); ++i) FindProblems(*type->field(i), seen, problems);
}

}  // namespace

std::vector<std::string> JsonProblems(const FieldDescriptor& field) {
  absl::flat_hash_set<const Descriptor*> seen;
  std::vector<std::string> problems;
  FindProblems(field, &seen, &problems);
  return problems;
}

bool AppendJson(const Message& message, const FieldDescriptor* field, std::string* out,
                Violation* violation) {
  if (!field->is_repeated()) {
    if (AppendElement(FieldValue(message, field), out, violation)) return true;
    violation->Prepend(field->name());
    return false;
  }
  const int size = message.GetReflection()->FieldSize(message, field);
  out->push_back('[');
  for (int i = 0; i < size; ++i) {
    if (i > 0) out->push_back(',');
    if (!AppendElement(FieldValue(message, field, i), out, violation)) {
      violation->Prepend(field->name(), i);
      return false;
    }
  }
  out->push_back(']');
  return true;
}

bool AppendJson(const Message& message, std::string* out, Violation* violation) {
  return AppendObject(message, out, violation);
}

}  // namespace twi::repositories

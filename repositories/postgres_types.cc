#include "repositories/postgres_types.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "repositories/binary_format.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

struct Type {
  sql::Oid type;
  sql::Oid array;
  const char* name;
  int length = -1;
};

constexpr Type kTypes[] = {
    {kBool, 1000, "boolean", 1},
    {kBytea, 1001, "bytea"},
    {kName, 1003, "name"},
    {kInt8, 1016, "bigint", 8},
    {kInt2, 1005, "smallint", 2},
    {kInt4, 1007, "integer", 4},
    {kText, 1009, "text"},
    {kJson, 199, "json"},
    {kFloat4, 1021, "real", 4},
    {kFloat8, 1022, "double precision", 8},
    {kBpchar, 1014, "char"},
    {kVarchar, 1015, "varchar"},
    {kDate, 1182, "date", 4},
    {kTimestamp, 1115, "timestamp", 8},
    {kTimestamptz, 1185, "timestamptz", 8},
    {kInterval, 1187, "interval", 16},
    {kNumeric, 1231, "numeric"},
    {kUuid, 2951, "uuid", 16},
    {kJsonb, 3807, "jsonb"},
};

std::string NaturalElement(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return "integer";
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return "bigint";
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "double precision";
    case FieldDescriptor::CPPTYPE_FLOAT:
      return "real";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "boolean";
    case FieldDescriptor::CPPTYPE_ENUM:
      return "text";
    case FieldDescriptor::CPPTYPE_STRING:
      return field.type() == FieldDescriptor::TYPE_BYTES ? "bytea" : "text";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  switch (field.message_type()->well_known_type()) {
    case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
      return "timestamptz";
    case Descriptor::WELLKNOWNTYPE_DURATION:
      return "interval";
    case Descriptor::WELLKNOWNTYPE_FIELDMASK:
      return "text[]";
    default:
      return "jsonb";
  }
}

/// Bytes of every value of the type in binary form; -1 when they differ or this file does not know.
int LengthOf(sql::Oid type) {
  const auto* known = std::ranges::find(kTypes, type, &Type::type);
  return known == std::end(kTypes) ? -1 : known->length;
}

}  // namespace

sql::Oid ElementType(sql::Oid type) {
  for (const Type& known : kTypes) {
    if (known.array == type) return known.type;
  }
  return 0;
}

sql::Oid ArrayType(sql::Oid element) {
  for (const Type& known : kTypes) {
    if (known.type == element) return known.array;
  }
  return 0;
}

bool CanBeWhole(sql::Oid type) {
  return LengthOf(type) >= 0 || IsText(type) || type == kBytea || type == kNumeric;
}

bool IsWhole(sql::Oid type, std::string_view bytes) {
  if (IsText(type) || type == kBytea) return true;
  if (type != kNumeric) return static_cast<int>(bytes.size()) == LengthOf(type);
  // The number of digits, weight, sign and scale, two bytes each; as much for each digit of
  // 0..9999.
  constexpr size_t kHeader = 8;
  return bytes.size() >= kHeader && bytes.size() == kHeader + 2 * ReadBigEndian<uint16_t>(bytes);
}

std::string TypeName(sql::Oid type) {
  for (const Type& known : kTypes) {
    if (known.type == type) return known.name;
    if (known.array == type) return absl::StrCat(known.name, "[]");
  }
  return absl::StrCat("type ", type);
}

bool IsInteger(sql::Oid type) { return type == kInt8 || type == kInt4 || type == kInt2; }

bool IsText(sql::Oid type) {
  return type == kText || type == kVarchar || type == kBpchar || type == kName;
}

bool IsJson(sql::Oid type) { return type == kJsonb || type == kJson; }

std::string FieldTypeName(const FieldDescriptor& field) {
  std::string name = field.type_name();
  if (field.message_type() != nullptr) name = field.message_type()->full_name();
  if (field.enum_type() != nullptr) name = field.enum_type()->full_name();
  return absl::StrCat(field.is_repeated() ? "repeated " : "", name);
}

std::string NaturalType(const FieldDescriptor& field) {
  const std::string element = NaturalElement(field);
  const bool array = field.is_repeated() && element != "jsonb";
  return absl::StrCat(element, array ? "[]" : "");
}

}  // namespace twi::repositories

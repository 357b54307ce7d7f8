#include "repositories/enum_names.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace twi::repositories {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;

constexpr std::string_view kUnspecified = "UNSPECIFIED";

std::string_view Prefix(const EnumDescriptor& type) {
  std::string_view name = type.value(0)->name();
  return name.substr(0, name.size() - kUnspecified.size());
}

}  // namespace

bool HasDatabaseNames(const EnumDescriptor& type) {
  if (type.value(0)->number() != 0 || !type.value(0)->name().ends_with(kUnspecified)) {
    return false;
  }
  for (int i = 0; i < type.value_count(); ++i) {
    if (!type.value(i)->name().starts_with(Prefix(type))) return false;
  }
  return true;
}

std::string_view UpperName(const EnumValueDescriptor& value) {
  return std::string_view(value.name()).substr(Prefix(*value.type()).size());
}

const EnumValueDescriptor* FindByDatabaseName(const EnumDescriptor& type, std::string_view name) {
  for (int i = 1; i < type.value_count(); ++i) {
    const std::string_view upper = UpperName(*type.value(i));
    const auto lower_equals = [](char u, char l) { return absl::ascii_tolower(u) == l; };
    if (std::ranges::equal(upper, name, lower_equals)) return type.value(i);
  }
  return nullptr;
}

}  // namespace twi::repositories

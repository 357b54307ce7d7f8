#include "repositories/json_reader.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "repositories/binary_format.h"
#include "repositories/enum_names.h"
#include "repositories/violations.h"
#include "repositories/wire_format.h"

namespace twi::repositories {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::json;

/// Clients refuse messages nested deeper than 100; a few levels hold the column's own field.
constexpr int kDeepest = 90;

/// Writes values of one column. Every function appends what it says to the output, or returns false
/// with the violation filled in.
class Reader {
 public:
  Reader(std::string* out, Violation* violation) : out_(out), violation_(violation) {}

  /// A field with its tag, or nothing for a default value without presence.
  bool Field(const FieldDescriptor& field, const Json& json) {
    if (field.is_repeated()) return Array(field, json);
    if (json.is_null() && !IsValue(field)) return true;
    TaggedValue tagged(TagOf(field), out_);
    if (!Bare(field, json)) return false;
    if (!field.has_presence()) tagged.DropDefault();
    return true;
  }

  /// An element of a repeated field that is not packed, with its tag.
  bool Element(const FieldDescriptor& field, const Json& json) {
    if (json.is_null() && !IsValue(field)) return Fail("has a NULL element");
    AppendVarint(TagOf(field), out_);
    return Bare(field, json);
  }

 private:
  static bool IsValue(const FieldDescriptor& field) {
    return field.message_type() != nullptr &&
           field.message_type()->well_known_type() == Descriptor::WELLKNOWNTYPE_VALUE;
  }

  /// A string's text, or "" for anything else.
  static absl::string_view TextOf(const Json& json) {
    return json.is_string() ? json.get_ref<const std::string&>() : absl::string_view();
  }

  bool Fail(std::string_view description) {
    violation_->description = description;
    return false;
  }

  bool Array(const FieldDescriptor& field, const Json& json) {
    if (json.is_null()) return true;
    if (!json.is_array()) return Fail("is no array");
    if (json.empty()) return true;
    if (!field.is_packed()) {
      return Each(json, [&](const Json& element) { return Element(field, element); });
    }
    AppendVarint(TagOf(field), out_);
    LengthPrefix packed(out_);
    const bool read = Each(json, [&](const Json& element) {
      return element.is_null() ? Fail("has a NULL element") : Bare(field, element);
    });
    packed.Finish();
    return read;
  }

  template <typename Write>
  bool Each(const Json& array, Write write) {
    for (size_t i = 0; i < array.size(); ++i) {
      if (write(array[i])) continue;
      violation_->Prepend("", static_cast<int>(i));
      return false;
    }
    return true;
  }

  /// A value without its tag.
  bool Bare(const FieldDescriptor& field, const Json& json) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        if (!json.is_boolean()) return Fail("is no boolean");
        out_->push_back(json.get<bool>() ? 1 : 0);
        return true;
      case FieldDescriptor::CPPTYPE_INT32:
        return Integer<int32_t>(field, json);
      case FieldDescriptor::CPPTYPE_INT64:
        return Integer<int64_t>(field, json);
      case FieldDescriptor::CPPTYPE_UINT32:
        return Integer<uint32_t>(field, json);
      case FieldDescriptor::CPPTYPE_UINT64:
        return Integer<uint64_t>(field, json);
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return Real(field, json);
      case FieldDescriptor::CPPTYPE_ENUM:
        return Enum(field, json);
      case FieldDescriptor::CPPTYPE_STRING:
        return field.type() == FieldDescriptor::TYPE_BYTES ? Bytes(json) : String(json);
      case FieldDescriptor::CPPTYPE_MESSAGE:
        break;
    }
    return Message(*field.message_type(), json);
  }

  template <typename T>
  bool Integer(const FieldDescriptor& field, const Json& json) {
    T number = 0;
    bool fits = false;
    if (json.is_number_unsigned()) {
      const auto wide = json.get<uint64_t>();
      fits = std::in_range<T>(wide);
      number = static_cast<T>(wide);
    } else if (json.is_number_integer()) {
      const auto wide = json.get<int64_t>();
      fits = std::in_range<T>(wide);
      number = static_cast<T>(wide);
    } else if (json.is_string()) {
      fits = absl::SimpleAtoi(json.get_ref<const std::string&>(), &number);
    }
    if (!fits) return Fail(absl::StrCat("is no ", field.type_name()));
    AppendInteger(field.type(), static_cast<int64_t>(number), out_);
    return true;
  }

  bool Real(const FieldDescriptor& field, const Json& json) {
    const bool is_float = field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT;
    double number = 0;
    if (json.is_number()) {
      number = json.get<double>();
      if (is_float && std::abs(number) > std::numeric_limits<float>::max()) {
        return Fail("is too large for a float");
      }
    } else if (json == "NaN") {
      number = std::numeric_limits<double>::quiet_NaN();
    } else if (json == "Infinity" || json == "-Infinity") {
      number = std::numeric_limits<double>::infinity() * (json == "Infinity" ? 1 : -1);
    } else {
      return Fail("is no number");
    }
    AppendReal(number, is_float, out_);
    return true;
  }

  bool Enum(const FieldDescriptor& field, const Json& json) {
    const auto* value = json.is_string() ? FindByDatabaseName(*field.enum_type(),
                                                              json.get_ref<const std::string&>())
                                         : nullptr;
    if (value == nullptr) return Fail(absl::StrCat("is no ", field.enum_type()->name()));
    AppendInteger(field.type(), value->number(), out_);
    return true;
  }

  bool String(const Json& json) {
    if (!json.is_string()) return Fail("is no string");
    AppendBytes(json.get_ref<const std::string&>(), out_);
    return true;
  }

  bool Bytes(const Json& json) {
    absl::string_view digits = TextOf(json);
    const bool hexadecimal = absl::ConsumePrefix(&digits, "\\x") && digits.size() % 2 == 0 &&
                             digits.find_first_not_of("0123456789abcdefABCDEF") == digits.npos;
    if (!hexadecimal) return Fail("is no bytea");
    AppendBytes(absl::HexStringToBytes(digits), out_);
    return true;
  }

  bool Message(const Descriptor& type, const Json& json) {
    if (++depth_ > kDeepest) return Fail("is nested too deeply");
    bool read = false;
    switch (type.well_known_type()) {
      case Descriptor::WELLKNOWNTYPE_TIMESTAMP:
        read = Timestamp(json);
        break;
      case Descriptor::WELLKNOWNTYPE_DURATION:
        read = Duration(json);
        break;
      default: {
        LengthPrefix message(out_);
        read = Body(type, json);
        message.Finish();
      }
    }
    --depth_;
    return read;
  }

  /// A message without its length.
  bool Body(const Descriptor& type, const Json& json) {
    switch (type.well_known_type()) {
      case Descriptor::WELLKNOWNTYPE_STRUCT:
        return Struct(type, json);
      case Descriptor::WELLKNOWNTYPE_VALUE:
        return Value(type, json);
      case Descriptor::WELLKNOWNTYPE_LISTVALUE:
      case Descriptor::WELLKNOWNTYPE_FIELDMASK:
        return Array(*type.field(0), json);
      default:
        return Object(type, json);
    }
  }

  bool Object(const Descriptor& type, const Json& json) {
    if (!json.is_object()) return Fail("is no object");
    size_t known = 0;
    uint64_t oneofs = 0;  // Bit n: a member of the n-th is there.
    for (int i = 0; i < type.field_count(); ++i) {
      const FieldDescriptor& field = *type.field(i);
      const auto found = json.find(field.name());
      if (found == json.end()) continue;
      ++known;
      if (IsOnlyMember(field, *found, &oneofs) && Field(field, *found)) continue;
      violation_->Prepend(field.name());
      return false;
    }
    return known == json.size() || Fail(absl::StrCat("has a key that ", type.name(), " has not"));
  }

  bool IsOnlyMember(const FieldDescriptor& field, const Json& json, uint64_t* oneofs) {
    const auto* oneof = field.real_containing_oneof();
    if (oneof == nullptr || (json.is_null() && !IsValue(field))) return true;
    const uint64_t bit = uint64_t{1} << oneof->index();
    if ((*oneofs & bit) != 0) return Fail("is not the only one of its oneof that is not null");
    *oneofs |= bit;
    return true;
  }

  bool Struct(const Descriptor& type, const Json& json) {
    if (!json.is_object()) return Fail("is no object");
    // Entries of maps are messages, too.
    ++depth_;
    const FieldDescriptor& fields = *type.field(0);  // A map: entries of key 1 and value 2.
    const FieldDescriptor& value = *fields.message_type()->map_value();
    for (const auto& [key, element] : json.items()) {
      AppendVarint(TagOf(fields), out_);
      LengthPrefix entry(out_);
      AppendVarint(TagOf(*fields.message_type()->map_key()), out_);
      AppendBytes(key, out_);
      AppendVarint(TagOf(value), out_);
      if (!Bare(value, element)) return false;
      entry.Finish();
    }
    --depth_;
    return true;
  }

  /// Value is a oneof of what JSON has.
  bool Value(const Descriptor& type, const Json& json) {
    const auto member = [&](int number) -> const FieldDescriptor& {
      const FieldDescriptor& field = *type.FindFieldByNumber(number);
      AppendVarint(TagOf(field), out_);
      return field;
    };
    switch (json.type()) {
      case Json::value_t::number_integer:
      case Json::value_t::number_unsigned:
        if (!IsExact(json)) return Fail("is an integer that a double cannot tell");
        [[fallthrough]];
      case Json::value_t::number_float:
        return Real(member(2), json);
      case Json::value_t::string:
        return Bare(member(3), json);
      case Json::value_t::boolean:
        return Bare(member(4), json);
      case Json::value_t::object:
        return Bare(member(5), json);
      case Json::value_t::array:
        return Bare(member(6), json);
      default:
        AppendInteger(member(1).type(), 0, out_);
        return true;
    }
  }

  /// Whether a double holds all digits of an integer. Ids of Discord need more than it has: better
  /// no answer than another id.
  static bool IsExact(const Json& json) {
    constexpr double kEnd = 0x1p64;
    const auto number = json.get<double>();
    if (!json.is_number_unsigned()) return static_cast<int64_t>(number) == json.get<int64_t>();
    return number < kEnd && static_cast<uint64_t>(number) == json.get<uint64_t>();
  }

  bool Timestamp(const Json& json) {
    absl::Time time;
    if (!json.is_string() || !ParseTime(json.get_ref<const std::string&>(), &time)) {
      return Fail("is no time");
    }
    const int64_t seconds = absl::ToUnixSeconds(time);
    if (seconds < kFirstSecond || seconds > kLastSecond) {
      return Fail("is no time in years 1 to 9999");
    }
    const int64_t nanos = absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds));
    AppendSecondsAndNanos(seconds, static_cast<int32_t>(nanos), out_);
    return true;
  }

  static bool ParseTime(const std::string& text, absl::Time* time) {
    return absl::ParseTime(absl::RFC3339_full, text, time, nullptr) ||
           absl::ParseTime("%Y-%m-%dT%H:%M:%E*S", text, absl::UTCTimeZone(), time, nullptr) ||
           absl::ParseTime("%Y-%m-%d", text, absl::UTCTimeZone(), time, nullptr);
  }

  bool Duration(const Json& json) {
    // A number has digits for microseconds of 285 years; text has them all.
    absl::Duration length;
    if (json.is_number()) {
      length = absl::Microseconds(std::round(json.get<double>() * kMicrosecond));
    } else if (!json.is_string() ||
               !absl::ParseDuration(json.get_ref<const std::string&>(), &length)) {
      return Fail("is no number of seconds");
    }
    if (absl::AbsDuration(length) > absl::Seconds(kLongestSeconds)) {
      return Fail("is longer than 10,000 years");
    }
    const int64_t micros = absl::ToInt64Microseconds(length);
    AppendSecondsAndNanos(micros / kMicrosecond, static_cast<int32_t>(micros % kMicrosecond * 1000),
                          out_);
    return true;
  }

  std::string* out_;
  Violation* violation_;
  int depth_ = 0;
};

template <typename Read>
bool ReadText(const FieldDescriptor& field, std::string_view text, std::string* problem,
              Violation* violation, Read read) {
  // No exceptions, comments or callbacks: text that is no JSON comes back as discarded.
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_discarded() && read(json)) return true;
  if (json.is_discarded()) violation->description = "is no JSON";
  violation->Prepend(field.name());
  *problem = absl::StrCat(violation->field, " ", violation->description);
  return false;
}

}  // namespace

bool ReadJson(const FieldDescriptor& field, std::string_view json, std::string* out,
              std::string* problem) {
  Violation violation;
  Reader reader(out, &violation);
  return ReadText(field, json, problem, &violation,
                  [&](const Json& value) { return reader.Field(field, value); });
}

bool ReadJsonElement(const FieldDescriptor& field, std::string_view json, std::string* out,
                     std::string* problem) {
  Violation violation;
  Reader reader(out, &violation);
  return ReadText(field, json, problem, &violation,
                  [&](const Json& value) { return reader.Element(field, value); });
}

}  // namespace twi::repositories

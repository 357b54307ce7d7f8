#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "google/protobuf/message.h"

namespace twi::repositories {

/// One value in a message: of a singular field, or one element of a repeated one.
class FieldValue {
 public:
  /// `index` is the element's, or -1 for a singular field. A singular field that is not set has its
  /// default value.
  FieldValue(const google::protobuf::Message& message,
             const google::protobuf::FieldDescriptor* field, int index = -1)
      : message_(message), reflection_(*message.GetReflection()), field_(field), index_(index) {}

  const google::protobuf::Message& parent() const { return message_; }
  const google::protobuf::FieldDescriptor& field() const { return *field_; }

  /// REQUIRES: an integer, a bool or an enum. Nothing for a uint64 above the largest int64.
  std::optional<int64_t> Integer() const {
    using Field = google::protobuf::FieldDescriptor;
    switch (field_->cpp_type()) {
      case Field::CPPTYPE_INT32:
        return Get(&Reflection::GetInt32, &Reflection::GetRepeatedInt32);
      case Field::CPPTYPE_INT64:
        return Get(&Reflection::GetInt64, &Reflection::GetRepeatedInt64);
      case Field::CPPTYPE_UINT32:
        return Get(&Reflection::GetUInt32, &Reflection::GetRepeatedUInt32);
      case Field::CPPTYPE_BOOL:
        return Get(&Reflection::GetBool, &Reflection::GetRepeatedBool);
      case Field::CPPTYPE_ENUM:
        return Get(&Reflection::GetEnumValue, &Reflection::GetRepeatedEnumValue);
      default:
        break;
    }
    const uint64_t value = Unsigned();
    if (value > std::numeric_limits<int64_t>::max()) return std::nullopt;
    return static_cast<int64_t>(value);
  }

  /// REQUIRES: a uint64.
  uint64_t Unsigned() const { return Get(&Reflection::GetUInt64, &Reflection::GetRepeatedUInt64); }

  /// REQUIRES: a float or a double.
  double Real() const {
    if (field_->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_FLOAT) {
      return Get(&Reflection::GetFloat, &Reflection::GetRepeatedFloat);
    }
    return Get(&Reflection::GetDouble, &Reflection::GetRepeatedDouble);
  }

  /// REQUIRES: a string or bytes. A view into the message, or into `scratch`.
  std::string_view Text(std::string* scratch) const {
    return index_ < 0 ? reflection_.GetStringReference(message_, field_, scratch)
                      : reflection_.GetRepeatedStringReference(message_, field_, index_, scratch);
  }

  /// REQUIRES: a message.
  const google::protobuf::Message& Message() const {
    return index_ < 0 ? reflection_.GetMessage(message_, field_)
                      : reflection_.GetRepeatedMessage(message_, field_, index_);
  }

 private:
  using Reflection = google::protobuf::Reflection;
  using Parent = google::protobuf::Message;
  using Descriptor = google::protobuf::FieldDescriptor;

  template <typename T>
  T Get(T (Reflection::*singular)(const Parent&, const Descriptor*) const,
        T (Reflection::*repeated)(const Parent&, const Descriptor*, int) const) const {
    return index_ < 0 ? (reflection_.*singular)(message_, field_)
                      : (reflection_.*repeated)(message_, field_, index_);
  }

  const Parent& message_;
  const Reflection& reflection_;
  const Descriptor* field_;
  int index_;
};

}  // namespace twi::repositories

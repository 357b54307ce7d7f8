#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "google/protobuf/descriptor.h"

namespace twi::repositories {

// protobuf's wire format, appended to a string.

inline void AppendVarint(uint64_t value, std::string* out) {
  char bytes[10];
  size_t size = 0;
  while (value >= 0x80) {
    bytes[size++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  bytes[size++] = static_cast<char>(value);
  out->append(bytes, size);
}

template <typename T>
void AppendLittleEndian(T bits, std::string* out) {
  char bytes[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = static_cast<char>(bits >> (8 * i));
  out->append(bytes, sizeof(T));
}

inline void AppendReal(double value, bool is_float, std::string* out) {
  if (is_float) {
    AppendLittleEndian(std::bit_cast<uint32_t>(static_cast<float>(value)), out);
  } else {
    AppendLittleEndian(std::bit_cast<uint64_t>(value), out);
  }
}

/// An integer, bool or enum as its field's type has it on the wire.
inline void AppendInteger(google::protobuf::FieldDescriptor::Type type, int64_t value,
                          std::string* out) {
  using Field = google::protobuf::FieldDescriptor;
  switch (type) {
    case Field::TYPE_SINT32:
    case Field::TYPE_SINT64:
      return AppendVarint(static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63),
                          out);
    case Field::TYPE_FIXED32:
    case Field::TYPE_SFIXED32:
      return AppendLittleEndian(static_cast<uint32_t>(value), out);
    case Field::TYPE_FIXED64:
    case Field::TYPE_SFIXED64:
      return AppendLittleEndian(static_cast<uint64_t>(value), out);
    default:
      return AppendVarint(static_cast<uint64_t>(value), out);
  }
}

/// The tag of a field; for packed ones that of the whole.
inline uint32_t TagOf(const google::protobuf::FieldDescriptor& field) {
  using Field = google::protobuf::FieldDescriptor;
  enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kDelimited = 2, kFixed32 = 5 };
  WireType type = kVarint;
  switch (field.type()) {
    case Field::TYPE_STRING:
    case Field::TYPE_BYTES:
    case Field::TYPE_MESSAGE:
      type = kDelimited;
      break;
    case Field::TYPE_DOUBLE:
    case Field::TYPE_FIXED64:
    case Field::TYPE_SFIXED64:
      type = kFixed64;
      break;
    case Field::TYPE_FLOAT:
    case Field::TYPE_FIXED32:
    case Field::TYPE_SFIXED32:
      type = kFixed32;
      break;
    default:
      break;
  }
  if (field.is_packed()) type = kDelimited;
  return static_cast<uint32_t>(field.number()) << 3 | type;
}

/// A field and, appended after it, its value.
class TaggedValue {
 public:
  TaggedValue(uint32_t tag, std::string* out) : out_(out), start_(out->size()) {
    AppendVarint(tag, out);
    value_ = out->size();
  }

  /// Takes a default value back, as proto3 has it for fields without presence. The bytes of any
  /// default are all zero, and of no other value.
  void DropDefault() {
    if (out_->find_first_not_of('\0', value_) == out_->npos) out_->resize(start_);
  }

 private:
  std::string* out_;
  size_t start_;
  size_t value_;
};

/// A part whose length is not known before it is written: a message or packed numbers.
class LengthPrefix {
 public:
  /// Starts the part that what is appended to `out` belongs to.
  explicit LengthPrefix(std::string* out) : out_(out), start_(out->size() + 1) {
    out->push_back('\0');
  }

  /// Ends it: its length stands before it.
  void Finish() {
    size_t length = out_->size() - start_;
    if (length < 0x80) {
      (*out_)[start_ - 1] = static_cast<char>(length);
      return;
    }
    std::string prefix;
    AppendVarint(length, &prefix);
    out_->replace(start_ - 1, 1, prefix);
  }

 private:
  std::string* out_;
  size_t start_;
};

inline void AppendBytes(std::string_view bytes, std::string* out) {
  AppendVarint(bytes.size(), out);
  out->append(bytes);
}

/// The body of google.protobuf.Timestamp and Duration with its length.
inline void AppendSecondsAndNanos(int64_t seconds, int32_t nanos, std::string* out) {
  LengthPrefix message(out);
  if (seconds != 0) {
    out->push_back(1 << 3);
    AppendVarint(static_cast<uint64_t>(seconds), out);
  }
  if (nanos != 0) {
    out->push_back(2 << 3);
    AppendVarint(static_cast<uint64_t>(static_cast<int64_t>(nanos)), out);
  }
  message.Finish();
}

}  // namespace twi::repositories

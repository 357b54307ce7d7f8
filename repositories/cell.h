#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/descriptor.h"
#include "sql/statement.h"

namespace twi::repositories {

/// One column of a result and the field that it fills: Postgres's binary format on one side,
/// protobuf's wire format on the other.
class Cell {
 public:
  /// The column with number `index` fills `field`, or one of its elements when `element` is true
  /// and `field` repeated.
  Cell(int index, const sql::Column& column, const google::protobuf::FieldDescriptor* field,
       bool element);

  /// Appends a sentence when the column's type has no form in the field's, or when the column may
  /// be NULL and the field cannot tell.
  void Check(const sql::Column& column, std::vector<std::string>* problems,
             std::vector<std::string>* warnings) const;

  int index() const { return index_; }
  uint32_t tag() const { return tag_; }
  const google::protobuf::FieldDescriptor& field() const { return *field_; }
  /// The index of the oneof that the field is a member of, or -1.
  int oneof() const { return oneof_; }

  /// Appends a value that is not NULL with its tag, or nothing for the default of a field without
  /// presence. DATA_LOSS when the field cannot tell the value.
  absl::Status Append(std::string_view value, std::string* out) const;
  /// Appends a value that is not NULL without a tag, as packed fields have it.
  absl::Status AppendBare(std::string_view value, std::string* out) const;

  /// DATA_LOSS, VALUE_UNREPRESENTABLE, naming the column; `why` reads on from its name.
  absl::Status Unrepresentable(std::string_view why) const;

 private:
  absl::Status AppendArray(std::string_view value, std::string* out) const;
  absl::Status AppendJson(std::string_view value, std::string* out) const;
  absl::Status AppendNumber(int64_t value, std::string* out) const;
  absl::Status AppendText(std::string_view value, std::string* out) const;
  /// `seconds` and `micros`, of the same sign, since 2000.
  absl::Status AppendTime(int64_t seconds, int64_t micros, std::string* out) const;
  absl::Status AppendInterval(std::string_view value, std::string* out) const;

  int index_;
  std::string name_;
  const google::protobuf::FieldDescriptor* field_;
  google::protobuf::FieldDescriptor::Type field_type_;
  uint32_t tag_;
  sql::Oid type_;  ///< The elements' for an array.
  bool element_;
  bool array_;
  bool json_;  ///< json that is read, not a string that holds it.
  bool implicit_;
  int oneof_;
};

}  // namespace twi::repositories

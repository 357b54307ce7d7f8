#pragma once

#include <string>
#include <string_view>

#include "google/protobuf/descriptor.h"

namespace twi::repositories {

// The way back from what json_writer.h describes: JSON that the database made becomes protobuf's
// wire format. What is read beside it:
//   * 64-bit integers may be strings of digits;
//   * a time without a zone is UTC, a Duration may be a number of seconds;
//   * null and a missing key are absent, or the default of a field without presence.
// What is nested deeper than clients read is refused, and so are two members of one oneof.

/// Appends what `json` holds for `field`, with its tag: a value, or an array for a repeated field.
/// False when it is no value of the field's type; `problem` then says why, with the path from the
/// field down but without the value: `entries[2].time is no time`.
/// REQUIRES: no JsonProblems(field).
bool ReadJson(const google::protobuf::FieldDescriptor& field, std::string_view json,
              std::string* out, std::string* problem);

/// The same for one element of a repeated field.
bool ReadJsonElement(const google::protobuf::FieldDescriptor& field, std::string_view json,
                     std::string* out, std::string* problem);

}  // namespace twi::repositories

#pragma once

#include <string>
#include <vector>

#include "google/protobuf/message.h"
#include "repositories/violations.h"

namespace twi::repositories {

// The JSON that stanzas see of messages, and that the database's json becomes in responses:
//   * names are those of the .proto; fields without presence are always there, absent ones are not;
//   * every integer is a number, also int64: jsonb keeps all its digits;
//   * enums are their database names (`joined`), UNSPECIFIED is null and no element of a list;
//   * bytes are `\x` and hexadecimal digits, as bytea reads and writes them;
//   * a Timestamp is RFC 3339 in UTC with microseconds, a Duration `3.5s`, which interval reads
//   too;
//   * a FieldMask is an array of its paths, an `update_mask` with the implied ones;
//   * NaN and the infinities are the strings "NaN", "Infinity", "-Infinity".

/// Sentences about what has no such form in `field` and, for a message, below it: maps, repeated
/// masks, enums whose names do not share a prefix.
std::vector<std::string> JsonProblems(const google::protobuf::FieldDescriptor& field);

/// Appends a singular field of `message`, or the array of a repeated one, as JSON. False when a
/// value has no form in the database; `violation` then says which, from this field down. REQUIRES:
/// generated messages; no JsonProblems.
bool AppendJson(const google::protobuf::Message& message,
                const google::protobuf::FieldDescriptor* field, std::string* out,
                Violation* violation);

/// Appends a whole message as an object; otherwise the same.
bool AppendJson(const google::protobuf::Message& message, std::string* out, Violation* violation);

}  // namespace twi::repositories

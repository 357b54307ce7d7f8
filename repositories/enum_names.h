#pragma once

#include <string_view>

#include "google/protobuf/descriptor.h"

namespace twi::repositories {

// The database holds an enum's value as its name without the enum's prefix, in lower case:
// VOICE_ACTION_JOINED is `joined`. The prefix is what stands before UNSPECIFIED in the name of the
// value 0, which itself is NULL.

/// Whether the value 0 is called <PREFIX>_UNSPECIFIED and all names share the prefix, as the
/// functions below require.
bool HasDatabaseNames(const google::protobuf::EnumDescriptor& type);

/// The value's name without the prefix, in upper case still.
std::string_view UpperName(const google::protobuf::EnumValueDescriptor& value);

/// The value whose database name `name` is; null when there is none.
const google::protobuf::EnumValueDescriptor* FindByDatabaseName(
    const google::protobuf::EnumDescriptor& type, std::string_view name);

}  // namespace twi::repositories

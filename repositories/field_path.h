#pragma once

#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"

namespace twi::repositories {

/// Fields from a message down to one in it: all but the last are singular messages.
using FieldPath = std::vector<const google::protobuf::FieldDescriptor*>;

/// What a name (`message.author.id`) means in `type`. Empty when it is no field; then `problem`
/// says why and reads on from the name: `is no field: …`.
FieldPath FindPath(const google::protobuf::Descriptor& type, const std::string& name,
                   std::string* problem);

}  // namespace twi::repositories

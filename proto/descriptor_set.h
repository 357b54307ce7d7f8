#pragma once

#include <string_view>

namespace twi {

/// The serialized google.protobuf.FileDescriptorSet of every proto served, with comments and
/// imports.
std::string_view DescriptorSet();

}  // namespace twi

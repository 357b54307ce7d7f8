#pragma once

#include <string>

#include "google/protobuf/descriptor.h"

namespace twi::repositories {

/// What `name`, which is no field of `type`, may have meant: `GetQuoteRequest has no serail_id; did
/// you mean serial_id?` or `GetQuoteRequest has no quote, only serial_id`.
std::string FieldSuggestion(const google::protobuf::Descriptor& type, const std::string& name);

}  // namespace twi::repositories

#pragma once

#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "repositories/repository.h"
#include "sql/analysis.h"

namespace twi::repositories {

/// What is wrong with a statement by its form and what its method declares of it, as sentences that
/// say what to change; nothing of what the database makes of it.
std::vector<std::string> FormProblems(const Stanza& stanza,
                                      const google::protobuf::MethodDescriptor& method,
                                      const sql::Analysis& analysis);

}  // namespace twi::repositories

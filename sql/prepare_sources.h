#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace twi::sql {

/// Makes or mends what changes are followed by: the publication and, where this role gets no slot,
/// the outbox. What cannot be made is told with its reason, and is no failure: without either no
/// answer is kept, and all is served.
void PrepareSources(
    const std::string& dsn,
    const std::function<void(std::string_view event, std::string_view detail)>& tell);

}  // namespace twi::sql

#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "server/caching.h"
#include "server/call.h"
#include "server/task.h"

namespace twi::server {

/// The metadata in which callers name a freshness.
inline constexpr char kFreshness[] = "x-freshness";

/// Gives a caller who named a freshness the token for what he knows now.
void AddToken(Call& call, const Caching& caching);

/// Ends with `status` once all that is visible now is known to the cache, or `transaction` by
/// itself is, if it is given: whoever hears of a write must not find an answer without it.
Task<absl::Status> Settle(Call& call, Caching& caching, std::optional<uint64_t> transaction,
                          absl::Status status);

}  // namespace twi::server

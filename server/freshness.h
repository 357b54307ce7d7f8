#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sql/changes.h"

namespace twi::server {

/// How recent an answer has to be: what a caller says in the metadata `x-freshness`.
struct Freshness {
  enum class Mode {
    kBounded,  ///< `bounded`, and when nothing is said: nothing older than the server's bound.
    kSession,  ///< `session=<token>`: also all that the token stands for.
    kStrict,   ///< `strict`: all that was visible to anybody when the call came.
    kStale,    ///< `stale=<seconds>`: nothing older than that, even when changes are not told.
    kBypass,   ///< `bypass`: from the database.
  };

  Mode mode = Mode::kBounded;
  sql::BootClock::duration most{};  ///< Of kStale.
  uint64_t position = 0;            ///< Of kSession: in the database's log.

  /// INVALID_ARGUMENT (FIELD_INVALID, `x-freshness`) when it is none of them.
  static absl::StatusOr<Freshness> Parse(std::string_view text);
};

/// The token that stands for all changes before `position`.
std::string FreshnessToken(uint64_t position);

}  // namespace twi::server

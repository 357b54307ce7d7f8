#include "server/freshness.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "sql/errors.h"
#include "sql/text.h"

namespace twi::server {
namespace {

// Longer than any answer is kept.
constexpr double kMostSeconds = 86400;

}  // namespace

absl::StatusOr<Freshness> Freshness::Parse(std::string_view text) {
  absl::string_view rest = ToAbsl(text);
  Freshness freshness;
  double seconds = 0;
  if (rest == "bounded") return freshness;
  if (rest == "strict") {
    freshness.mode = Mode::kStrict;
    return freshness;
  }
  if (rest == "bypass") {
    freshness.mode = Mode::kBypass;
    return freshness;
  }
  if (absl::ConsumePrefix(&rest, "session=")) {
    freshness.mode = Mode::kSession;
    if (absl::SimpleHexAtoi(rest, &freshness.position)) return freshness;
  } else if (absl::ConsumePrefix(&rest, "stale=")) {
    freshness.mode = Mode::kStale;
    if (absl::SimpleAtod(rest, &seconds) && seconds >= 0 && seconds <= kMostSeconds) {
      freshness.most = std::chrono::duration_cast<sql::BootClock::duration>(
          std::chrono::duration<double>(seconds));
      return freshness;
    }
  }
  return sql::Error(absl::StatusCode::kInvalidArgument, "FIELD_INVALID",
                    "the metadata x-freshness is one of bounded, session=<token>, strict, "
                    "stale=<seconds> (at most 86400), bypass");
}

std::string FreshnessToken(uint64_t position) { return absl::StrCat(absl::Hex(position)); }

}  // namespace twi::server

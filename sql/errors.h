#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace twi::sql {

/// Whether a statement of ours that failed, and so was rolled back, may run again without its
/// caller's doing.
enum class Retry {
  kNever,
  kStatement,  ///< It failed for a reason that passes.
};

/// What a failure is to callers: a code, a reason (a value of proto ErrorReason without its prefix)
/// and facts by name (`constraint`, `column`, `row`).
///
/// The reason and the facts travel in the absl::Status as payloads; the server turns them into
/// google.rpc.ErrorInfo. Neither they nor the message ever hold SQL, SQLSTATE texts or row values.
absl::Status Error(absl::StatusCode code, std::string_view reason, std::string_view message,
                   const std::vector<std::pair<std::string_view, std::string>>& facts = {});

/// Adds a fact to an error, which may be any but OK.
void AddFact(absl::Status* status, std::string_view name, std::string value);

/// DEADLINE_EXCEEDED: the deadline passed before the answer was there.
absl::Status TooLate();
/// CANCELLED: nobody waits for the answer any more.
absl::Status GaveUp();
/// UNAVAILABLE: the database is down, or the server ends.
absl::Status DatabaseUnavailable();
absl::Status ShuttingDown();
/// UNKNOWN: a write was sent, and the connection broke before its answer.
absl::Status OutcomeUnknown();
/// RESOURCE_EXHAUSTED: too many wait already, or for longer than there is time. Who comes now would
/// have to wait for so long.
absl::Status TooManyWait(std::chrono::nanoseconds wait);
/// RESOURCE_EXHAUSTED: the answer has more bytes than it may.
absl::Status ResultTooLarge();

/// The reason of an error made by Error, or "" when it has none.
std::string Reason(const absl::Status& status);

/// Says when it is worth to try again.
void SetRetryDelay(absl::Status* status, std::chrono::milliseconds delay);
/// When it is worth to try again, as far as that is known.
std::optional<std::chrono::milliseconds> RetryDelay(const absl::Status& status);

/// The facts of an error made by Error.
std::vector<std::pair<std::string, std::string>> Facts(const absl::Status& status);

/// What the database said of a failed statement; all of it for the log, little of it for callers.
struct DatabaseError {
  /// Five characters; "" when the connection broke and the server did not say why.
  std::string sqlstate;
  std::string message;  ///< Primary message in the server's words: for logs only.
  std::string constraint = {};
  std::string column = {};
  std::string table = {};
  int position = 0;   ///< Character of the text that it is about, from 1; 0: not known.
  int parameter = 0;  ///< The placeholder whose value is refused, from 1; 0: not known.
  /// The connection had lost its preparation of the statement, which was not run.
  bool stale = false;
  /// Of a COPY in: the line of its data that is wrong, from 1.
  std::optional<int64_t> copy_line = std::nullopt;

  /// The status that callers see.
  absl::Status ToStatus() const;
  /// The status for the caller whose own text failed. It has the state and the place as facts, and
  /// the database's words where these speak of the text and not of rows.
  absl::Status ToStatusOfRaw() const;
  /// Whether the statement may be run again.
  Retry retry() const;
};

}  // namespace twi::sql

#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "sql/errors.h"
#include "sql/parameters.h"
#include "sql/rows.h"
#include "sql/snapshot.h"
#include "sql/statement.h"

namespace twi::sql {

struct Flow;

using Clock = std::chrono::steady_clock;

/// How many may wait for a lane, and how many for a session: at 10,000 statements a second of a
/// busy small machine, half a second of waiting.
inline constexpr size_t kQueueLimit = 5000;

/// OK while somebody waits for an answer; CANCELLED when the caller gave up, DEADLINE_EXCEEDED when
/// it is too late. `cancelled` may be null.
absl::Status Awaited(Clock::time_point deadline, const std::atomic<bool>* cancelled);

/// One run of a statement for one caller: what to run, and what came of it. It belongs to the
/// caller, who keeps it alive until `done` was called.
struct Execution {
  const Statement* statement = nullptr;
  Parameters parameters;
  /// Not begun after this, and not run for much longer.
  Clock::time_point deadline = Clock::time_point::max();
  /// Set by any thread when nobody waits for the answer any more: not begun after that.
  const std::atomic<bool>* cancelled = nullptr;
  /// With whose others it takes turns; null where access is not controlled.
  const Flow* flow = nullptr;
  /// Of a set: what no other caller of the same statement may have too. Without one it is sent by
  /// itself.
  std::optional<std::string> key;
  /// A write that may be run again when nobody knows whether it was done.
  bool idempotent = false;
  /// Of a read: to tell what it could see, in `snapshot`.
  bool wants_snapshot = false;
  /// Of a write: to tell which transaction it was, in `transaction`.
  bool wants_transaction = false;
  /// In a session: run with each of these instead of `parameters`, in one transaction, when there
  /// are any.
  std::vector<Parameters> repeats;
  /// In a session: the statement is prepared and not run, and `rows` have no row, but its columns
  /// and the types of its placeholders.
  bool describe = false;
  /// In a session: an answer of more bytes is refused, and as soon as that is seen cancelled.
  uint64_t most_bytes = std::numeric_limits<uint64_t>::max();

  /// Called once, on the pool's thread, when `status` and `rows` are there.
  std::function<void()> done;

  absl::Status status;
  Rows rows;
  /// Rows that all the repeats affected, and how many of these went well before one failed.
  int64_t affected = 0;
  size_t repeated = 0;
  /// At least this was visible to it.
  std::optional<Snapshot> snapshot;
  /// The xid8 of the transaction that is committed with it; none if it changed nothing, or is not
  /// known.
  std::optional<uint64_t> transaction;
  /// What went wrong in the database's words and state: for logs and metrics, never for callers.
  std::string sqlstate;
  std::string database_message;
  /// When the answer is from the database: from sending to receiving. A statement's own time is
  /// known only when it ran alone: the others of a batch are answered with it.
  Clock::duration run_time{};
  /// Without the end of its transaction, which may wait for a disk.
  Clock::duration own_time{};
  bool solo = false;
  int attempts = 0;
  /// When it was sent for the first time.
  Clock::time_point first_sent;

  /// It is being sent, perhaps not for the first time.
  void Sent(Clock::time_point now) {
    if (attempts++ == 0) first_sent = now;
  }
  /// Nobody waits for the answer any more.
  bool abandoned() const {
    return cancelled != nullptr && cancelled->load(std::memory_order_relaxed);
  }
  /// May run once more after a failure that is not its own.
  bool may_run_again() const { return attempts < kMostAttempts; }

  /// True, with its status set, when it is abandoned or its deadline has passed.
  bool Expire();
  void Fail(const DatabaseError& error);
  /// It was a write, and the connection broke before it was answered.
  void FailUnknown(const DatabaseError& error);
  /// It ran when the connection broke. True when it may run again; else it has its status: a write
  /// that is not idempotent may have been done.
  bool SurvivesBreak(const DatabaseError& error);

  static constexpr int kMostAttempts = 5;
};

}  // namespace twi::sql

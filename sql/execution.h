#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "sql/errors.h"
#include "sql/parameters.h"
#include "sql/rows.h"
#include "sql/snapshot.h"
#include "sql/statement.h"

namespace twi::sql {

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
  /// Of a set: what no other caller of the same statement may have too. Without one it is sent by
  /// itself.
  std::optional<std::string> key;
  /// A write that may be run again when nobody knows whether it was done.
  bool idempotent = false;
  /// Of a read: to tell what it could see, in `snapshot`.
  bool wants_snapshot = false;

  /// Called once, on the pool's thread, when `status` and `rows` are there.
  std::function<void()> done;

  absl::Status status;
  Rows rows;
  /// At least this was visible to it.
  std::optional<Snapshot> snapshot;
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

#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "cache/tag_table.h"
#include "sql/changes.h"
#include "sql/execution.h"
#include "sql/snapshot.h"

namespace twi::cache {

using sql::BootClock;

/// All changes of a table.
Tag TableTag(sql::Oid table);
/// The changes of a table that are told without their rows.
Tag RestTag(sql::Oid table);
/// The changes of rows with one value in one column.
inline Tag KeyTag(sql::KeyHash key) { return key; }

/// What a kept answer rests on: what its statement could see, and what it depends on.
struct Basis {
  struct Dependence {
    Tag tag;
    uint64_t sequence = 0;  ///< Of the tag when it was last known that nothing had changed.
  };

  uint64_t generation = 0;
  sql::Snapshot snapshot;
  absl::InlinedVector<Dependence, 4> dependences;
};

/// What is known of the database's changes, and which answers they leave right.
///
/// An answer is right as of the time that current_as_of() tells, when every change told so far of
/// what it depends on was visible to its statement. This is all that is asked of a change: not when
/// it is told, which may be before others can see it, so that a statement that runs after it was
/// told may still read what was there before.
///
/// A generation is a stretch of time with one unbroken sequence of changes and one schema. What is
/// of another generation is never right.
class Coherence : public sql::ChangeListener {
 public:
  /// All that was visible at this time, to anybody, is told. time_point::min() when nothing is
  /// being told.
  BootClock::time_point current_as_of() const {
    return BootClock::time_point(
        BootClock::duration(current_as_of_.load(std::memory_order_acquire)));
  }
  /// All that was visible at current_as_of() has its commits before this place in the database's
  /// log; 0 when nothing is being told.
  uint64_t reach() const { return reach_.load(std::memory_order_acquire); }
  /// Whether all is told that anybody has seen who was given `place` as a reach(), here or by
  /// another server, before `asked`.
  bool Tells(uint64_t place, BootClock::time_point asked) const;
  /// How changes are told, as of this generation.
  sql::ChangesFrom from() const { return from_.load(std::memory_order_acquire); }
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  bool open() const { return open_.load(std::memory_order_acquire); }

  /// Whether a snapshot sees all that this generation began after: what is not told because it came
  /// before the stream, and every change of the schema that is told.
  bool SeesBeginning(const sql::Snapshot& snapshot) const;

  /// Whether an answer may be kept: its statement saw all that was not told because it came before,
  /// and all that has been told of what it depends on. Notes what it has looked at.
  bool Admits(Basis* basis) const;
  /// Whether it is right as of a current_as_of() read before.
  bool Right(const Basis& basis) const;

  /// Calls `done` once, by any thread and perhaps at once, when current_as_of() is `since` or
  /// later, nothing is being told any more, or `most` has passed; with a transaction that has
  /// committed also when that is told, and with it, in the order of the log, all that it saw.
  void Await(BootClock::time_point since, BootClock::duration most, std::function<void()> done,
             std::optional<uint64_t> transaction = std::nullopt);

  /// Where the changes come from; until set, nothing is being told. It must be set to null before
  /// the source is gone.
  void SetSource(sql::ChangeSource* source);

  /// The schema has changed, or may have: calls `listener` on the source's thread.
  void OnNewGeneration(std::function<void()> listener) { new_generation_ = std::move(listener); }

 private:
  struct Waiter {
    BootClock::time_point since;
    BootClock::time_point until;
    std::function<void()> done;
    std::optional<uint64_t> transaction;
    /// When the source is asked how far it is.
    BootClock::time_point asks;
  };

  void OnOpen(uint64_t first, sql::ChangesFrom from) override;
  void OnCommit(const sql::Changes& changes) override;
  void OnSchemaChange() override;
  void OnCurrent(BootClock::time_point as_of, uint64_t position) override;
  void OnTick(uint64_t position) override;
  void OnClosed() override;

  void SetCurrent(BootClock::time_point as_of, uint64_t reach);
  void BeginGeneration();
  /// Whether a transaction is one of the last that were told. Guarded by mutex_.
  bool IsTold(uint64_t transaction) const {
    return told_lately_[transaction % kLately] == transaction;
  }
  /// Calls those whose wait is over.
  void Release();

  TagTable tags_;
  std::atomic<BootClock::rep> current_as_of_{
      BootClock::time_point::min().time_since_epoch().count()};
  std::atomic<uint64_t> reach_{0};
  std::atomic<uint64_t> told_{0};  ///< All commits before this place.
  std::atomic<uint64_t> generation_{1};
  std::atomic<uint64_t> first_{0};
  std::atomic<bool> open_{false};
  std::atomic<sql::ChangesFrom> from_{sql::ChangesFrom::kNone};
  std::function<void()> new_generation_ = [] {};

  /// Who waits for a transaction comes when that is committed, give or take some milliseconds.
  static constexpr size_t kLately = 4096;

  std::mutex mutex_;
  /// All guarded by mutex_.
  std::vector<Waiter> waiters_;
  std::array<uint64_t, kLately> told_lately_{};
  sql::ChangeSource* source_ = nullptr;
};

}  // namespace twi::cache

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "sql/snapshot.h"

namespace twi::cache {

/// What answers depend on and changes touch, as a hash: a table, the rows of a table with one value
/// in one column, or a table's changes that are told without their rows.
using Tag = uint64_t;

/// The last transactions that changed each tag. Tags that share a slot by their hash count as
/// changed together, which costs hits and never makes a wrong one.
///
/// One thread pushes and clears; every thread asks, without a lock.
class TagTable {
 public:
  /// Transaction `xid` changed `tag`.
  void Push(Tag tag, uint64_t xid);
  /// As if nothing had been pushed. Who asks meanwhile must find out by other means that what he
  /// was told does not count.
  void Clear();

  /// How often the tag's slot was pushed to: while that is the same, nothing has changed.
  uint64_t Sequence(Tag tag) const { return SlotOf(tag).sequence.load(std::memory_order_acquire); }
  /// Whether every transaction that changed the tag was visible to `snapshot`; false also when that
  /// is not known any more. `sequence` is what Sequence() was when this was true.
  bool Seen(Tag tag, const sql::Snapshot& snapshot, uint64_t* sequence) const;

 private:
  static constexpr size_t kSlots = 1 << 16;

  struct alignas(64) Slot {
    std::atomic<uint64_t> sequence{0};
    std::array<std::atomic<uint64_t>, 4> last{};  ///< A ring; 0 is none.
    std::atomic<uint64_t> forgotten{0};           ///< The newest that has left the ring.
  };

  Slot& SlotOf(Tag tag) const { return slots_[tag % kSlots]; }

  std::unique_ptr<Slot[]> slots_ = std::make_unique<Slot[]>(kSlots);
};

}  // namespace twi::cache

#include "cache/tag_table.h"

namespace twi::cache {

void TagTable::Push(Tag tag, uint64_t xid) {
  Slot& slot = SlotOf(tag);
  for (const auto& last : slot.last) {
    if (last.load(std::memory_order_relaxed) == xid) return;
  }
  const uint64_t sequence = slot.sequence.load(std::memory_order_relaxed);
  std::atomic<uint64_t>& last = slot.last[sequence % slot.last.size()];
  // Who sees that a transaction is not in the ring any more must see it here.
  const uint64_t leaving = last.load(std::memory_order_relaxed);
  if (leaving > slot.forgotten.load(std::memory_order_relaxed)) {
    slot.forgotten.store(leaving, std::memory_order_relaxed);
  }
  last.store(xid, std::memory_order_release);
  slot.sequence.store(sequence + 1, std::memory_order_release);
}

void TagTable::Clear() {
  for (size_t i = 0; i < kSlots; ++i) {
    Slot& slot = slots_[i];
    if (slot.sequence.load(std::memory_order_relaxed) == 0) continue;
    for (auto& last : slot.last) last.store(0, std::memory_order_relaxed);
    slot.forgotten.store(0, std::memory_order_relaxed);
    slot.sequence.fetch_add(slot.last.size(), std::memory_order_release);
  }
}

bool TagTable::Seen(Tag tag, const sql::Snapshot& snapshot, uint64_t* sequence) const {
  const Slot& slot = SlotOf(tag);
  *sequence = slot.sequence.load(std::memory_order_acquire);
  for (const auto& last : slot.last) {
    const uint64_t xid = last.load(std::memory_order_acquire);
    if (xid != 0 && !snapshot.Sees(xid)) return false;
  }
  if (slot.forgotten.load(std::memory_order_acquire) >= snapshot.oldest()) return false;
  // A push meanwhile may have taken from the ring what was not looked at yet.
  return slot.sequence.load(std::memory_order_relaxed) == *sequence;
}

}  // namespace twi::cache

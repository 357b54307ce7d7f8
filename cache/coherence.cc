#include "cache/coherence.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"

namespace twi::cache {
namespace {

// Every change of the schema.
constexpr Tag kSchemaTag = 0;

}  // namespace

Tag TableTag(sql::Oid table) { return absl::HashOf(table, "table"); }
Tag RestTag(sql::Oid table) { return absl::HashOf(table, "rest"); }

bool Coherence::SeesBeginning(const sql::Snapshot& snapshot) const {
  uint64_t sequence = 0;
  return snapshot.oldest() >= first_.load(std::memory_order_acquire) &&
         tags_.Seen(kSchemaTag, snapshot, &sequence);
}

bool Coherence::Admits(Basis* basis) const {
  if (!open() || !SeesBeginning(basis->snapshot)) return false;
  for (Basis::Dependence& dependence : basis->dependences) {
    if (!tags_.Seen(dependence.tag, basis->snapshot, &dependence.sequence)) return false;
  }
  return basis->generation == generation();
}

bool Coherence::Right(const Basis& basis) const {
  for (const Basis::Dependence& dependence : basis.dependences) {
    uint64_t sequence = tags_.Sequence(dependence.tag);
    if (sequence == dependence.sequence) continue;
    if (!tags_.Seen(dependence.tag, basis.snapshot, &sequence)) return false;
  }
  // Last: when a generation begins, the tags are cleared.
  return basis.generation == generation();
}

void Coherence::Await(BootClock::time_point since, BootClock::duration most,
                      std::function<void()> done) {
  {
    std::lock_guard lock(mutex_);
    if (source_ != nullptr && open() && current_as_of() < since) {
      waiters_.push_back({since, BootClock::now() + most, std::move(done)});
      done = nullptr;
      source_->Freshen();
    }
  }
  if (done) done();
}

void Coherence::SetSource(sql::ChangeSource* source) {
  std::lock_guard lock(mutex_);
  source_ = source;
}

bool Coherence::Tells(uint64_t place, BootClock::time_point asked) const {
  if (told_.load(std::memory_order_acquire) >= place) return true;
  // What was seen before was visible then.
  return current_as_of() >= asked && reach() >= place;
}

void Coherence::OnOpen(uint64_t first, sql::ChangesFrom from) {
  // Before the generation: who knows that knows what to look for in the schema.
  from_.store(from, std::memory_order_release);
  first_.store(first, std::memory_order_release);
  BeginGeneration();
  // Another timeline may give the numbers of lost transactions to new ones. All that was told
  // before is visible to every statement that may be kept from now on.
  tags_.Clear();
  open_.store(true, std::memory_order_release);
}

void Coherence::BeginGeneration() {
  generation_.fetch_add(1, std::memory_order_acq_rel);
  new_generation_();
}

void Coherence::OnCommit(const sql::Changes& changes) {
  const uint64_t xid = changes.transaction;
  for (const auto& [table, of_table] : changes.tables) {
    tags_.Push(TableTag(table), xid);
    if (of_table.whole) tags_.Push(RestTag(table), xid);
    for (sql::KeyHash key : of_table.keys) tags_.Push(KeyTag(key), xid);
  }
  if (!changes.schema) return;
  tags_.Push(kSchemaTag, xid);
  BeginGeneration();
}

void Coherence::OnSchemaChange() { BeginGeneration(); }

void Coherence::SetCurrent(BootClock::time_point as_of, uint64_t reach) {
  reach_.store(reach, std::memory_order_release);
  current_as_of_.store(as_of.time_since_epoch().count(), std::memory_order_release);
}

void Coherence::OnCurrent(BootClock::time_point as_of, uint64_t position) {
  SetCurrent(as_of, position);
  Release();
}

void Coherence::OnTick(uint64_t position) {
  told_.store(position, std::memory_order_release);
  Release();
}

void Coherence::OnClosed() {
  open_.store(false, std::memory_order_release);
  SetCurrent(BootClock::time_point::min(), 0);
  told_.store(0, std::memory_order_release);
  from_.store(sql::ChangesFrom::kNone, std::memory_order_release);
  Release();
}

void Coherence::Release() {
  std::vector<Waiter> over;
  {
    std::lock_guard lock(mutex_);
    if (waiters_.empty()) return;
    const BootClock::time_point as_of = current_as_of();
    const BootClock::time_point now = BootClock::now();
    const bool closed = !open();
    const auto rest = std::partition(waiters_.begin(), waiters_.end(), [&](const Waiter& waiter) {
      return !closed && waiter.since > as_of && waiter.until > now;
    });
    over.assign(std::make_move_iterator(rest), std::make_move_iterator(waiters_.end()));
    waiters_.erase(rest, waiters_.end());
  }
  for (const Waiter& waiter : over) waiter.done();
}

}  // namespace twi::cache

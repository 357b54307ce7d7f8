#include "cache/coherence.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"

namespace twi::cache {
namespace {

// Every change of the schema.
constexpr Tag kSchemaTag = 0;

// A transaction is told about when its commit is acknowledged, but for one that changed nothing
// that is followed. After this long it is asked for.
constexpr std::chrono::milliseconds kPatience{3};

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
                      std::function<void()> done, std::optional<uint64_t> transaction) {
  // The outbox tells nothing unasked.
  if (from() != sql::ChangesFrom::kStream) transaction.reset();
  {
    std::lock_guard lock(mutex_);
    const bool known = current_as_of() >= since || (transaction && IsTold(*transaction));
    if (source_ != nullptr && open() && !known) {
      const BootClock::time_point now = BootClock::now();
      const BootClock::time_point asks =
          transaction ? now + kPatience : BootClock::time_point::max();
      waiters_.push_back({since, now + most, std::move(done), transaction, asks});
      done = nullptr;
      if (!transaction) source_->Freshen();
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
  {
    std::lock_guard lock(mutex_);
    told_lately_.fill(0);
  }
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
  if (changes.schema) {
    tags_.Push(kSchemaTag, xid);
    BeginGeneration();
  }
  // Last: who waits for it finds all of it.
  std::lock_guard lock(mutex_);
  told_lately_[xid % kLately] = xid;
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
      const bool told = waiter.transaction && IsTold(*waiter.transaction);
      return !closed && !told && waiter.since > as_of && waiter.until > now;
    });
    over.assign(std::make_move_iterator(rest), std::make_move_iterator(waiters_.end()));
    waiters_.erase(rest, waiters_.end());
    for (Waiter& waiter : waiters_) {
      if (now < waiter.asks || source_ == nullptr) continue;
      waiter.asks = BootClock::time_point::max();
      source_->Freshen();
    }
  }
  for (const Waiter& waiter : over) waiter.done();
}

}  // namespace twi::cache

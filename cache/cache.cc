#include "cache/cache.h"

#include <random>
#include <utility>

namespace twi::cache {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

BootClock::duration Jittered(BootClock::duration ttl) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return ttl - ttl / 1000 * std::uniform_int_distribution(0, 100)(random);
}

}  // namespace

size_t Entry::size() const {
  const size_t bytes = answer.bytes == nullptr ? 0 : answer.bytes->size();
  // What the containers need for each is about as much again as the entry.
  return 2 * sizeof(Entry) + request.size() + bytes;
}

Cache::Cache(Options options, const Coherence* coherence)
    : options_(options), coherence_(*coherence) {}

std::shared_ptr<const Entry> Cache::Find(const Key& key, BootClock::time_point since,
                                         BootClock::time_point now, bool unwatched) {
  // The time before the changes: those told in between do no harm.
  const bool current = coherence_.current_as_of() >= since;
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  const auto found = shard.by_key.find(key);
  if (found == shard.by_key.end()) return nullptr;
  const Order::iterator place = found->second;
  const Entry& entry = *place->entry;
  if (const auto why = Spent(entry, now)) {
    Count(*why);
    Drop(shard, place);
    return nullptr;
  }
  if (!entry.coherent && !unwatched) return nullptr;
  if (entry.began < since && !(entry.coherent && current)) return nullptr;
  place->used = now;
  shard.order.splice(shard.order.begin(), shard.order, place);
  return place->entry;
}

std::optional<Event> Cache::Spent(const Entry& entry, BootClock::time_point now) const {
  if (entry.expires <= now) return Event::kExpired;
  if (!entry.coherent || coherence_.Right(entry.basis)) return std::nullopt;
  return entry.basis.generation == coherence_.generation() ? Event::kChanged : Event::kGeneration;
}

bool Cache::Holds(const Key& key) {
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  return shard.by_key.contains(key);
}

void Cache::Sweep() {
  const BootClock::time_point now = BootClock::now();
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    for (int i = 0; i < kSwept && !shard.order.empty(); ++i) {
      if (shard.next == shard.order.end()) {
        if (i > 0) break;
        --shard.next;
      }
      const Order::iterator place = shard.next;
      StepOver(shard, place);
      if (const auto why = Spent(*place->entry, now)) {
        Count(*why);
        Drop(shard, place);
      }
    }
  }
}

void Cache::StepOver(Shard& shard, Order::iterator place) {
  if (shard.next != place) return;
  shard.next = place == shard.order.begin() ? shard.order.end() : std::prev(place);
}

void Cache::Keep(Entry entry, BootClock::duration ttl) {
  const size_t size = entry.size();
  if (size > options_.bytes / kLargest) return;
  const BootClock::time_point now = BootClock::now();
  entry.expires = now + Jittered(ttl);
  const auto shared = std::make_shared<const Entry>(std::move(entry));
  const Key key{shared->statement, shared->request};
  {
    Shard& shard = ShardOf(key);
    std::lock_guard lock(shard.mutex);
    if (const auto found = shard.by_key.find(key); found != shard.by_key.end()) {
      // A read that began later knows more.
      if (found->second->entry->began > shared->began) return;
      Drop(shard, found->second);
    }
    shard.order.push_front({shared, now});
    shard.by_key.emplace(key, shard.order.begin());
    entries_.fetch_add(1, kRelaxed);
    bytes_.fetch_add(size, kRelaxed);
  }
  while (entries() > options_.entries || bytes() > options_.bytes) GiveUpOne();
}

void Cache::Drop(Shard& shard, Order::iterator place) {
  const Entry& entry = *place->entry;
  entries_.fetch_sub(1, kRelaxed);
  bytes_.fetch_sub(entry.size(), kRelaxed);
  StepOver(shard, place);
  shard.by_key.erase(Key{entry.statement, entry.request});
  shard.order.erase(place);
}

void Cache::GiveUpOne() {
  Shard* oldest = nullptr;
  BootClock::time_point used = BootClock::time_point::max();
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    if (shard.order.empty() || shard.order.back().used >= used) continue;
    oldest = &shard;
    used = shard.order.back().used;
  }
  if (oldest == nullptr) return;
  std::lock_guard lock(oldest->mutex);
  if (oldest->order.empty()) return;
  Count(Event::kCrowdedOut);
  Drop(*oldest, std::prev(oldest->order.end()));
}

Statistics Cache::statistics() const {
  const auto since = [this](Event event) {
    return count(event) - before_[static_cast<size_t>(event)].load(kRelaxed);
  };
  Statistics numbers;
  numbers.hits = since(Event::kHit);
  numbers.misses = since(Event::kMiss);
  numbers.total_requests = numbers.hits + numbers.misses;
  if (numbers.total_requests > 0) {
    numbers.hit_rate =
        100.0 * static_cast<double>(numbers.hits) / static_cast<double>(numbers.total_requests);
  }
  numbers.evictions = since(Event::kExpired) + since(Event::kCrowdedOut);
  numbers.invalidations =
      since(Event::kChanged) + since(Event::kGeneration) + since(Event::kByHand);
  return numbers;
}

void Cache::ResetStatistics() {
  for (size_t i = 0; i < counts_.size(); ++i) before_[i].store(counts_[i].load(kRelaxed), kRelaxed);
}

size_t Cache::Forget(const std::function<bool(const Entry&)>& matches) {
  size_t count = 0;
  for (Shard& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    for (auto place = shard.order.begin(); place != shard.order.end();) {
      const auto next = std::next(place);
      if (matches(*place->entry)) {
        Drop(shard, place);
        ++count;
      }
      place = next;
    }
  }
  Count(Event::kByHand, count);
  return count;
}

}  // namespace twi::cache

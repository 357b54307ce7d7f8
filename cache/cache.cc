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
                                         BootClock::time_point now) {
  // The time before the changes: those told in between do no harm.
  const bool current = coherence_.current_as_of() >= since;
  Shard& shard = ShardOf(key);
  std::lock_guard lock(shard.mutex);
  const auto found = shard.by_key.find(key);
  if (found == shard.by_key.end()) return nullptr;
  const Order::iterator place = found->second;
  const Entry& entry = *place->entry;
  if (entry.expires <= now) {
    evictions_.fetch_add(1, kRelaxed);
    Drop(shard, place);
    return nullptr;
  }
  if (entry.coherent && !coherence_.Right(entry.basis)) {
    invalidations_.fetch_add(1, kRelaxed);
    Drop(shard, place);
    return nullptr;
  }
  if (entry.began < since && !(entry.coherent && current)) return nullptr;
  place->used = now;
  shard.order.splice(shard.order.begin(), shard.order, place);
  return place->entry;
}

void Cache::Keep(Entry entry, BootClock::duration ttl) {
  const size_t size = entry.size();
  if (size > options_.bytes / kLargest) return;
  const BootClock::time_point now = BootClock::now();
  entry.expires = now + Jittered(ttl);
  const auto shared = std::make_shared<const Entry>(std::move(entry));
  const Key key{shared->operation, shared->request};
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
  shard.by_key.erase(Key{entry.operation, entry.request});
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
  evictions_.fetch_add(1, kRelaxed);
  Drop(*oldest, std::prev(oldest->order.end()));
}

Statistics Cache::statistics() const {
  Statistics numbers;
  numbers.hits = hits_.load(kRelaxed);
  numbers.misses = misses_.load(kRelaxed);
  numbers.total_requests = numbers.hits + numbers.misses;
  if (numbers.total_requests > 0) {
    numbers.hit_rate =
        100.0 * static_cast<double>(numbers.hits) / static_cast<double>(numbers.total_requests);
  }
  numbers.evictions = evictions_.load(kRelaxed);
  numbers.invalidations = invalidations_.load(kRelaxed);
  return numbers;
}

void Cache::ResetStatistics() {
  for (std::atomic<uint64_t>* number : {&hits_, &misses_, &evictions_, &invalidations_}) {
    number->store(0, kRelaxed);
  }
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
  invalidations_.fetch_add(count, kRelaxed);
  return count;
}

}  // namespace twi::cache

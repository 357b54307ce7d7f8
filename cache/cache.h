#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "cache/coherence.h"

namespace twi::cache {

/// Whose answer it is: a statement, by its address, and the request's bytes.
struct Key {
  const void* statement;
  std::string_view request;

  bool operator==(const Key&) const = default;
  template <typename H>
  friend H AbslHashValue(H state, const Key& key) {
    return H::combine(std::move(state), key.statement, key.request);
  }
};

/// What a caller gets: a response's bytes, or the error that there is no such row.
struct Answer {
  absl::Status status;
  std::shared_ptr<const std::string> bytes;
};

/// An answer that is kept, and never changes.
struct Entry {
  const void* statement;
  std::string request;
  Answer answer;
  Basis basis;
  /// Whether changes since are looked at; otherwise it is known to be right at `began` only.
  bool coherent = false;
  BootClock::time_point began;  ///< Before its statement ran.
  BootClock::time_point read;   ///< After it.
  BootClock::time_point expires;

  size_t size() const;
};

/// What happens to answers.
enum class Event : size_t {
  kHit,
  kMiss,
  kExpired,     ///< Given up because its time was over.
  kCrowdedOut,  ///< For want of room.
  kChanged,     ///< Because what it depended on changed.
  kGeneration,  ///< Because a new generation began.
  kByHand,      ///< Because somebody said so.
  kEvents,
};

/// The seed's six, `hit_rate` in percent. A join is a hit, a bypass is not counted.
struct Statistics {
  uint64_t hits = 0;
  uint64_t misses = 0;
  double hit_rate = 0;
  uint64_t evictions = 0;      ///< Expired and crowded out.
  uint64_t invalidations = 0;  ///< All others that were given up.
  uint64_t total_requests = 0;
};

/// Answers of statements, the least recently used given up first. Any thread.
class Cache {
 public:
  struct Options {
    size_t entries = 2000;
    size_t bytes = size_t{256} << 20;
  };

  Cache(Options options, const Coherence* coherence);

  /// The answer, when there is one that is right as of `since` or later: every change visible then
  /// is in it. With `unwatched` also one that was right then, though it may be known to somebody
  /// that it is not any more: who heard of a write must not find it. Counts nothing.
  std::shared_ptr<const Entry> Find(const Key& key, BootClock::time_point since,
                                    BootClock::time_point now, bool unwatched = false);

  /// Keeps an answer for `ttl`, or up to a tenth less so that answers do not run out together; not
  /// when one alone is too large. REQUIRES: it may be kept.
  void Keep(Entry entry, BootClock::duration ttl);

  /// Whether there is an answer, be it right or not.
  bool Holds(const Key& key);

  void Count(Event event, uint64_t times = 1) {
    counts_[static_cast<size_t>(event)].fetch_add(times, std::memory_order_relaxed);
  }
  /// Since the beginning.
  uint64_t count(Event event) const {
    return counts_[static_cast<size_t>(event)].load(std::memory_order_relaxed);
  }
  /// Since ResetStatistics.
  Statistics statistics() const;
  void ResetStatistics();

  /// Looks at a few answers, those least recently used first and the next ones each time, and gives
  /// up those that are expired or wrong, which nobody may ask for any more.
  void Sweep();

  /// Forgets what `matches`; how many there were.
  size_t Forget(const std::function<bool(const Entry&)>& matches);

  size_t entries() const { return entries_.load(std::memory_order_relaxed); }
  size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct Place {
    std::shared_ptr<const Entry> entry;
    BootClock::time_point used;
  };
  using Order = std::list<Place>;

  struct Shard {
    std::mutex mutex;
    Order order;  ///< What is used is moved to the front.
    /// What Sweep looks at next, from the back to the front; the end is the back.
    Order::iterator next = order.end();
    absl::flat_hash_map<Key, Order::iterator> by_key;
  };

  static constexpr size_t kShards = 16;
  // One answer may take a sixteenth of all room.
  static constexpr size_t kLargest = 16;
  // Of a shard at a time: readers wait so long.
  static constexpr int kSwept = 64;

  Shard& ShardOf(const Key& key) { return shards_[absl::HashOf(key) % kShards]; }
  /// Why an entry is of use to nobody any more; nothing when it may be.
  std::optional<Event> Spent(const Entry& entry, BootClock::time_point now) const;
  // REQUIRES, of both: the caller holds the shard's mutex.
  void Drop(Shard& shard, Order::iterator place);
  static void StepOver(Shard& shard, Order::iterator place);
  /// Gives up the least recently used of all.
  void GiveUpOne();

  const Options options_;
  const Coherence& coherence_;
  std::array<Shard, kShards> shards_;
  std::atomic<size_t> entries_{0};
  std::atomic<size_t> bytes_{0};
  using Counts = std::array<std::atomic<uint64_t>, static_cast<size_t>(Event::kEvents)>;
  Counts counts_{};
  Counts before_{};  ///< The counts at ResetStatistics.
};

}  // namespace twi::cache

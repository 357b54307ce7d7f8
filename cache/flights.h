#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "cache/cache.h"

namespace twi::cache {

/// Identical reads under way: one leads and runs its statement, the others wait for its end and
/// then look for the answer that it kept. What they find is held to what they ask for like any
/// other answer, so that nobody gets one that was read too early for him.
class Flights {
 public:
  enum class Role {
    kLeads,  ///< Must call End.
    kWaits,  ///< `done` will be called, once, at the leader's end.
    kAlone,  ///< Too many wait, or for too long.
  };

  Role Join(const Key& key, std::function<void()> done);
  /// The leader is through.
  void End(const Key& key);

 private:
  // The leader's thread wakes all who wait.
  static constexpr size_t kMostWaiters = 1000;
  // A statement that takes longer is not waited for by those who come now.
  static constexpr std::chrono::milliseconds kLongest{1000};

  struct Flight {
    std::string request;  ///< What the key's bytes are.
    BootClock::time_point began;
    std::vector<std::function<void()>> waiters;
  };

  std::mutex mutex_;
  absl::flat_hash_map<Key, std::unique_ptr<Flight>> flights_;  ///< Guarded by mutex_.
};

}  // namespace twi::cache

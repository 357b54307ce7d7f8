#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

#include "tests/chaos/coherence_checker/registers.h"

namespace twi::checker {

using Clock = std::chrono::steady_clock;

inline constexpr int kReplicas = 3;

// Registers: those of the keys, what the materialized view shows of each, and what the other view
// is defined as.
inline constexpr size_t kSeen = kKeys;
inline constexpr size_t kDefined = 2 * kKeys;
inline constexpr size_t kRegisters = 2 * kKeys + 1;

/// What a read of a register must show at least, and what it can at most. Row locks order the
/// writes, each of which makes the next version: so the greatest version that somebody was told of
/// before a read began is the least it may show, and the number of writes begun before it ended,
/// and one, is the most. Any thread.
class Ledger {
 public:
  Ledger();
  ~Ledger();

  /// Somebody writes the register once, from now on.
  void Begin(size_t reg) { begun_[reg].fetch_add(1, std::memory_order_seq_cst); }
  /// A version was there before this call: of a write that has ended, or of a read that promises
  /// as much.
  void Acknowledge(size_t reg, int64_t version) { Raise(known_[reg], version); }
  /// The same, of a write through a replica.
  void Acknowledge(size_t reg, int64_t version, size_t replica) {
    Raise(known_[reg], version);
    Raise(through_[replica][reg], version);
  }

  /// The least that a read that begins now may show.
  int64_t Known(size_t reg) const { return known_[reg].load(std::memory_order_seq_cst); }
  /// Of what was written through that replica.
  int64_t KnownThrough(size_t reg, size_t replica) const {
    return through_[replica][reg].load(std::memory_order_seq_cst);
  }
  /// What was known `age` ago.
  int64_t KnownBefore(size_t reg, Clock::duration age) const;
  /// The most that a read that has ended can have shown.
  int64_t Possible(size_t reg) const {
    const size_t key = reg >= kSeen && reg < kDefined ? reg - kSeen : reg;
    return 1 + begun_[key].load(std::memory_order_seq_cst);
  }

 private:
  using Versions = std::array<std::atomic<int64_t>, kRegisters>;

  static void Raise(std::atomic<int64_t>& known, int64_t version) {
    int64_t now = known.load();
    while (now < version && !known.compare_exchange_weak(now, version)) {
    }
  }
  /// Notes what is known, again and again.
  void Sample();

  Versions begun_{};
  Versions known_{};
  std::array<Versions, kReplicas> through_{};

  struct Past {
    Clock::time_point after;  ///< It was known by then.
    std::array<int64_t, kRegisters> known;
  };
  mutable std::mutex mutex_;
  std::deque<Past> past_;  ///< Guarded by mutex_.
  std::atomic<bool> stopping_{false};
  std::thread sampler_;
};

}  // namespace twi::checker

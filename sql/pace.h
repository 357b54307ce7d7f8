#pragma once

#include <atomic>

#include "sql/execution.h"

namespace twi::sql {

/// How long one of those in a queue has taken lately. One thread observes, any may ask.
class Pace {
 public:
  /// Nobody waits for longer than `most`, whatever his deadline.
  explicit Pace(Clock::duration most) : most_(most) {}

  /// The last one took so long.
  void Observe(Clock::duration each) {
    const Clock::duration mean = mean_.load(std::memory_order_relaxed);
    mean_.store(mean + (each - mean) / kShare, std::memory_order_relaxed);
  }

  /// How long who has so many before him is going to wait.
  Clock::duration Wait(size_t before) const {
    return mean_.load(std::memory_order_relaxed) * before;
  }

  /// Whether that is too long for anybody.
  bool TooLong(size_t before) const { return Wait(before) > most_; }

  /// Whether he would wait beyond his deadline, or too long for anybody. What would only be dropped
  /// when its turn comes is refused while there is time to go elsewhere.
  bool TooLate(size_t before, Clock::time_point deadline) const {
    const Clock::duration wait = Wait(before);
    return wait > most_ || Clock::now() + wait > deadline;
  }

 private:
  // Of a new one in the mean, which so follows the last dozen.
  static constexpr int kShare = 8;

  const Clock::duration most_;
  std::atomic<Clock::duration> mean_{Clock::duration::zero()};
};

}  // namespace twi::sql

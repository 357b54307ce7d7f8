#pragma once

#include <atomic>
#include <chrono>
#include <mutex>

#include "absl/status/status.h"

namespace twi::sql {

/// Those who share one turn where many wait: the calls of one principal. Told apart by its address;
/// it outlives every pool that it was named to.
struct Flow {
  /// 1 to 100: how many turns it gets for one of a flow of weight 1. May change at any time, and
  /// counts from the flow's next arrival or turn.
  std::atomic<int> weight{1};
  /// For how long it held a session lately, each time; zero as long as it had none. The pool's own.
  mutable std::atomic<std::chrono::nanoseconds> held{std::chrono::nanoseconds::zero()};

  /// What was refused last because it would have had to wait for so long. What takes a second to be
  /// over is not over a few milliseconds later, and to refuse a flood is then as cheap as can be.
  class Refused {
   public:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::milliseconds kStands{20};

    void Set(const void* statement, const absl::Status& status) {
      const std::lock_guard lock(mutex_);
      statement_ = statement;
      status_ = status;
      until_ = Clock::now() + kStands;
    }
    /// How it was refused, if the statement is that one and so little time has passed; otherwise
    /// OK.
    absl::Status Find(const void* statement, Clock::time_point now) const {
      const std::lock_guard lock(mutex_);
      return statement != statement_ || now > until_ ? absl::OkStatus() : status_;
    }

   private:
    mutable std::mutex mutex_;
    // All guarded by mutex_.
    const void* statement_ = nullptr;
    absl::Status status_;
    Clock::time_point until_;
  };
  mutable Refused refused{};
};

}  // namespace twi::sql

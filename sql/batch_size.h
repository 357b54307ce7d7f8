#pragma once

#include <algorithm>
#include <cstddef>

#include "sql/execution.h"

namespace twi::sql {

/// How many callers a lane's batch takes while several flows have calls. Who comes waits for the
/// batch that is under way and then for his own, so it is as few as possible; and so many that a
/// batch's callers take four fifths of its time, as for a batch itself much time may go.
///
/// So a batch takes what one of one caller does, or five times what it would without any; and no
/// less than four fifths of what full ones could do is done.
class BatchSize {
 public:
  /// A batch of so many took so long.
  void Observe(size_t callers, Clock::duration time) {
    if (callers == 1) return Approach(time, &one_);
    Approach((time - one_) / static_cast<int64_t>(callers - 1), &more_);
  }

  /// Of the next batch, where so many may be.
  size_t Next(size_t most) {
    const Clock::duration beside = std::max(one_ - more_, Clock::duration::zero());
    const auto size = static_cast<size_t>(1 + kTimes * beside / more_);
    // Of batches of one size neither would be known for long.
    const int turn = ++batches_ % kProbe;
    if (turn == 0) return 1;
    return std::min(turn == kProbe / 2 ? size + kTimes : size, most);
  }

 private:
  static constexpr int kTimes = 4;
  static constexpr int kProbe = 64;
  static constexpr int kStep = 16;

  /// Comes nearer to the median, from which no batch that was held up leads far away.
  static void Approach(Clock::duration time, Clock::duration* median) {
    const Clock::duration step = *median / kStep;
    *median = std::max<Clock::duration>(*median + (time > *median ? step : -step),
                                        std::chrono::microseconds(1));
  }

  /// What a batch of one caller takes.
  Clock::duration one_ = std::chrono::microseconds(200);
  /// What each more adds.
  Clock::duration more_ = std::chrono::microseconds(20);
  int batches_ = 0;
};

}  // namespace twi::sql

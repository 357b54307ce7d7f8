#include "server/principal.h"

#include <algorithm>

namespace twi::server {

std::optional<sql::Clock::duration> Principal::Exceeds(double rate, sql::Clock::time_point now) {
  using Duration = sql::Clock::duration;
  const std::chrono::duration<double> each(1 / rate);
  const std::chrono::duration<double> ahead(std::max(1.0, 1 / rate));
  const auto interval = std::chrono::duration_cast<Duration>(each);
  const auto latest = (now + std::chrono::duration_cast<Duration>(ahead)).time_since_epoch();
  auto through = through_.load(std::memory_order_relaxed);
  for (;;) {
    const Duration next = std::max(Duration(through), now.time_since_epoch()) + interval;
    if (next > latest) return next - latest;
    if (through_.compare_exchange_weak(through, next.count(), std::memory_order_relaxed)) {
      return std::nullopt;
    }
  }
}

}  // namespace twi::server

#include "server/metrics_readings.h"

#include <chrono>

namespace twi::server {

PoolReading ReadPool(const sql::Pool& pool, int max_connections) {
  const sql::PoolNumbers numbers = pool.numbers();
  PoolReading reading;
  reading.idle = numbers.idle;
  reading.busy = numbers.busy;
  reading.connecting = numbers.connecting;
  reading.max = max_connections;
  reading.waiters = numbers.waiting;
  reading.opened = static_cast<double>(numbers.opened);
  reading.closed_idle = static_cast<double>(numbers.closed_idle);
  reading.closed_lifetime = static_cast<double>(numbers.closed_lifetime);
  reading.closed_room = static_cast<double>(numbers.closed_room);
  reading.closed_reset = static_cast<double>(numbers.closed_reset);
  reading.closed_broken = static_cast<double>(numbers.lost);
  return reading;
}

CacheReading ReadCache(Caching& caching) {
  const auto count = [&](cache::Event event) {
    return static_cast<double>(caching.cache().count(event));
  };
  CacheReading reading;
  reading.entries = static_cast<double>(caching.cache().entries());
  reading.bytes = static_cast<double>(caching.cache().bytes());
  reading.expired = count(cache::Event::kExpired);
  reading.crowded_out = count(cache::Event::kCrowdedOut);
  reading.changed = count(cache::Event::kChanged);
  reading.generation = count(cache::Event::kGeneration);
  reading.by_hand = count(cache::Event::kByHand);
  reading.source = caching.coherence().from();
  const sql::BootClock::time_point as_of = caching.coherence().current_as_of();
  if (as_of > sql::BootClock::time_point::min()) {
    reading.lag = std::chrono::duration<double>(sql::BootClock::now() - as_of).count();
  }
  return reading;
}

}  // namespace twi::server

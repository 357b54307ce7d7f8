#include "cache/flights.h"

#include <memory>
#include <utility>

namespace twi::cache {

Flights::Role Flights::Join(const Key& key, std::function<void()> done) {
  std::lock_guard lock(mutex_);
  if (const auto found = flights_.find(key); found != flights_.end()) {
    Flight& flight = *found->second;
    if (flight.waiters.size() >= kMostWaiters || BootClock::now() - flight.began > kLongest) {
      return Role::kAlone;
    }
    flight.waiters.push_back(std::move(done));
    return Role::kWaits;
  }
  auto flight = std::make_unique<Flight>(
      Flight{.request = std::string(key.request), .began = BootClock::now(), .waiters = {}});
  const Key kept{key.statement, flight->request};
  flights_.emplace(kept, std::move(flight));
  return Role::kLeads;
}

void Flights::End(const Key& key) {
  std::unique_ptr<Flight> flight;
  {
    std::lock_guard lock(mutex_);
    const auto found = flights_.find(key);
    flight = std::move(found->second);
    flights_.erase(found);
  }
  for (const auto& done : flight->waiters) done();
}

}  // namespace twi::cache

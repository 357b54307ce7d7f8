#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tests/chaos/coherence_checker/ledger.h"

namespace twi::checker {

/// Programs that write to the database in ways of their own, and know nothing of the service.
class Writers {
 public:
  /// `pause` lies between two writes of each, on average.
  Writers(const std::string& dsn, int count, Clock::duration pause, Ledger* ledger);
  ~Writers() { Stop(); }

  void Stop();
  int64_t writes() const { return writes_; }

 private:
  void Run(unsigned seed);

  const std::string dsn_;
  const Clock::duration pause_;
  Ledger* const ledger_;
  std::atomic<bool> stopping_{false};
  std::atomic<int64_t> writes_{0};
  std::vector<std::thread> threads_;
};

}  // namespace twi::checker

#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "sql/execution.h"
#include "sql/flow.h"

namespace twi::server {

/// Somebody who calls, as long as the process lives: what he may do can change meanwhile, what he
/// has done and is doing cannot. Thread-safe.
class Principal {
 public:
  explicit Principal(std::string name) : name_(std::move(name)) {}
  Principal(const Principal&) = delete;
  Principal& operator=(const Principal&) = delete;

  const std::string& name() const { return name_; }
  /// What his calls are where calls wait for each other.
  sql::Flow& flow() { return flow_; }

  /// What holds for SQL of his own.
  struct RawRules {
    bool granted = false;
    bool read_only = false;
    std::string role = {};  ///< The database's; "": the server's own.

    bool restricted() const { return read_only || !role.empty(); }
  };
  RawRules raw_rules() const {
    const std::lock_guard lock(mutex_);
    return raw_rules_;
  }
  void set_raw_rules(RawRules rules) {
    const std::lock_guard lock(mutex_);
    raw_rules_ = std::move(rules);
  }

  /// A call of his has come, or is answered.
  void Entered() { in_flight_.fetch_add(1, std::memory_order_relaxed); }
  void Left() { in_flight_.fetch_sub(1, std::memory_order_relaxed); }
  /// Those that came and are not answered.
  int in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

  /// Counts a call against `rate` calls a second, of which a second's worth (at least one) may come
  /// at once. If that is too many it does not count, and this is how long it is until the next may.
  std::optional<sql::Clock::duration> Exceeds(double rate, sql::Clock::time_point now);

 private:
  const std::string name_;
  sql::Flow flow_;
  std::atomic<int> in_flight_{0};
  /// When the calls counted so far would be through, were they spread evenly; in the clock's units.
  std::atomic<sql::Clock::rep> through_{0};
  mutable std::mutex mutex_;
  RawRules raw_rules_;  ///< Guarded by mutex_.
};

}  // namespace twi::server

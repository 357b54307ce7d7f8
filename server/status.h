#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/failures.h"
#include "server/metrics.h"
#include "server/process_numbers.h"
#include "server/status_history.h"
#include "sql/activity.h"

namespace twi::server {

/// What the page of the status tells: names and numbers, and nothing of what callers send or get.
struct Status {
  struct InFlight {
    std::string method;
    double calls = 0;
  };

  /// Runs of one statement that took long, of those that are remembered.
  struct SlowStatement {
    std::string operation;
    std::string fingerprint = {};  ///< Of SQL of a caller's own.
    int times = 0;
    int failed = 0;
    std::chrono::nanoseconds longest{};
    std::chrono::nanoseconds waited{};  ///< Before its first try, at the most.
    absl::Time last = {};
  };

  Metrics::Build build = {};
  std::string host = {};
  absl::Time now = {};
  absl::Time started = {};
  absl::Status ready = {};
  int schema = 0;  ///< 0 before it is known.
  std::optional<ProcessNumbers> process = {};
  std::optional<PoolReading> pool = {};
  std::optional<CacheReading> cache = {};
  /// Nothing when the pool is not there, or has not answered in time.
  std::optional<std::vector<sql::ConnectionActivity>> connections = {};
  std::vector<InFlight> in_flight = {};  ///< The most first.
  absl::Duration tick = {};              ///< Between two samples.
  std::vector<StatusSample> samples = {};
  absl::Duration lately = {};              ///< Of which time the methods' numbers are.
  std::vector<MethodStatus> busiest = {};  ///< By calls.
  std::vector<MethodStatus> slowest = {};  ///< Unary ones, by p99.
  std::chrono::milliseconds slow_threshold{};
  std::vector<SlowStatement> slow_statements = {};  ///< Those that took longest first.
  std::vector<Failure> failures = {};
};

/// As JSON, in one object.
std::string ToJson(const Status& status);

/// As a page for people, whole in itself: it has no script and asks for nothing. `live`: browsers
/// load it anew now and then.
std::string ToHtml(const Status& status, bool live);

}  // namespace twi::server

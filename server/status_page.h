#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/failures.h"
#include "server/metrics.h"
#include "server/slow_queries.h"
#include "server/status.h"
#include "sql/pool.h"

namespace twi::server {

/// Collects what the page of the status tells. A thread of its own looks at the metrics now and
/// then; calls have nothing to do with it. Thread-safe.
class StatusPage {
 public:
  /// All outlive this.
  struct Sources {
    const Metrics* metrics;
    const SlowQueries* slow_queries;
    const Failures* failures;
    std::function<absl::Status()> ready;
  };

  StatusPage(Sources sources, Metrics::Build build, absl::Duration tick = absl::Seconds(10));
  ~StatusPage();

  /// The pool whose connections are told of. When SetPool(nullptr) returns, the last one is not in
  /// use any more.
  void SetPool(sql::Pool* pool);

  /// What there is to tell now. Asks neither the database nor, for long, the pool.
  Status Collect() const;

 private:
  void Sample();
  std::optional<sql::Pool::Activity> Look() const;

  const Sources sources_;
  const Metrics::Build build_;
  const absl::Duration tick_;
  const absl::Time started_;

  mutable std::mutex pool_mutex_;
  sql::Pool* pool_ = nullptr;  ///< Guarded by pool_mutex_.

  mutable std::mutex mutex_;
  std::condition_variable ending_;
  bool end_ = false;       ///< Guarded by mutex_.
  StatusHistory history_;  ///< Guarded by mutex_.
  std::thread thread_;
};

}  // namespace twi::server

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace twi::server {

/// A run of a statement that took long. Nothing is kept of what it was called with.
struct SlowQuery {
  std::string operation;
  std::string fingerprint = {};  ///< Of SQL of a caller's own.
  absl::Time ended;
  std::chrono::nanoseconds queue_wait{};  ///< Before the first try.
  std::chrono::nanoseconds retries{};     ///< From the first try to the last one.
  std::chrono::nanoseconds execution{};   ///< Of the last one, in the database.
  int attempts = 0;
  int64_t rows = 0;
  absl::StatusCode code = absl::StatusCode::kOk;
};

/// Remembers the last statements that took long. Thread-safe.
class SlowQueries {
 public:
  static constexpr size_t kMost = 100;

  /// Long is what takes `threshold` in the database.
  explicit SlowQueries(std::chrono::milliseconds threshold) : threshold_(threshold) {}

  std::chrono::milliseconds threshold() const { return threshold_; }

  void Add(SlowQuery query) {
    std::lock_guard lock(mutex_);
    queries_.push_front(std::move(query));
    if (queries_.size() > kMost) queries_.pop_back();
  }

  /// The latest first.
  std::vector<SlowQuery> Latest(size_t most) const {
    std::lock_guard lock(mutex_);
    const auto count = static_cast<ptrdiff_t>(std::min(most, queries_.size()));
    return {queries_.begin(), queries_.begin() + count};
  }

  /// How many it forgets.
  size_t Forget() {
    std::lock_guard lock(mutex_);
    const size_t count = queries_.size();
    queries_.clear();
    return count;
  }

 private:
  const std::chrono::milliseconds threshold_;
  mutable std::mutex mutex_;
  std::deque<SlowQuery> queries_;  ///< Guarded by mutex_.
};

}  // namespace twi::server

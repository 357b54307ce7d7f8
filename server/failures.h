#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace twi::server {

/// Calls that failed alike. Nothing is kept of what they said or were told, which may hold data.
struct Failure {
  std::string method;  ///< `QuotesService/GetQuote`
  absl::StatusCode code;
  std::string reason = {};
  std::string principal = {};  ///< "" when it is not known.
  absl::Time last;
  absl::Time first = last;
  int64_t times = 1;
};

/// Remembers the last kinds of failed calls, so that many of one kind leave the others where they
/// are. Thread-safe.
class Failures {
 public:
  static constexpr size_t kMost = 20;

  void Add(Failure failure) {
    const auto kind = [](const Failure& f) {
      return std::tie(f.method, f.code, f.reason, f.principal);
    };
    std::lock_guard lock(mutex_);
    const auto same =
        std::ranges::find_if(failures_, [&](const Failure& f) { return kind(f) == kind(failure); });
    if (same != failures_.end()) {
      failure.first = same->first;
      failure.times += same->times;
      failures_.erase(same);
    }
    failures_.push_front(std::move(failure));
    if (failures_.size() > kMost) failures_.pop_back();
  }

  /// The latest first.
  std::vector<Failure> Latest() const {
    std::lock_guard lock(mutex_);
    return {failures_.begin(), failures_.end()};
  }

 private:
  mutable std::mutex mutex_;
  std::deque<Failure> failures_;  ///< Guarded by mutex_.
};

}  // namespace twi::server

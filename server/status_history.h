#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/metrics.h"

namespace twi::server {

/// What was going on in the time between two looks at the metrics.
struct StatusSample {
  double calls_per_second = 0;
  double failures_per_second = 0;
  std::optional<double> mean_seconds = {};  ///< Of unary calls that ended; nothing: none did.
  std::optional<double> hit_ratio = {};     ///< Nothing when nobody looked into the cache.
  std::optional<double> lag_seconds = {};   ///< Of what is known of changes, at the end.
  std::optional<double> cores = {};         ///< That the process was busy on.
};

/// How a method has done lately.
struct MethodStatus {
  std::string name;
  bool unary = true;
  double calls_per_second = 0;
  double calls = 0;
  double failed = 0;
  std::optional<double> hit_ratio = {};
  std::optional<double> mean_seconds = {};
  /// Half of the calls, and 99 of 100, ended within these; from the histogram's buckets.
  std::optional<double> p50_seconds = {};
  std::optional<double> p99_seconds = {};
  std::vector<StatusSample> samples = {};  ///< As those of the whole.
};

/// The last hour of the metrics, in samples. Not thread-safe.
class StatusHistory {
 public:
  static constexpr size_t kSamples = 360;
  /// Of these many last samples a MethodStatus tells its numbers.
  static constexpr size_t kLately = 60;

  /// A look at the metrics, `elapsed` after the last one. The first one is what later ones are
  /// compared with.
  void Take(const MetricsReading& reading, absl::Duration elapsed);

  /// The oldest first, and at most kSamples.
  const std::deque<StatusSample>& samples() const { return samples_; }

  /// For how long `lately` is.
  absl::Duration lately() const;
  /// The methods that were called lately, in no order.
  std::vector<MethodStatus> Methods() const;

 private:
  /// What has grown since the look before.
  struct Growth {
    double calls = 0;
    double failed = 0;
    double seconds = 0;
    double found = 0;
    double missed = 0;
    std::vector<uint64_t> within;
  };
  struct Known {
    MethodReading last;
    CacheCounts counts;
    std::deque<StatusSample> samples;  ///< None before its first call.
    std::deque<Growth> lately;
  };

  static StatusSample SampleOf(const Growth& growth, bool unary, double elapsed);
  Growth Grow(Known* known, const MethodReading& reading) const;

  bool begun_ = false;
  std::optional<double> cpu_seconds_;
  std::deque<StatusSample> samples_;
  std::deque<double> elapsed_;  ///< Seconds, of the last kLately samples.
  std::map<std::string, Known> methods_;
};

}  // namespace twi::server

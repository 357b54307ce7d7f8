#include "server/status_history.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace twi::server {
namespace {

template <typename Value>
void Push(std::deque<Value>* last, Value value, size_t most) {
  last->push_back(std::move(value));
  if (last->size() > most) last->pop_front();
}

std::optional<double> Ratio(double part, double whole) {
  return whole > 0 ? std::optional(part / whole) : std::nullopt;
}

/// Within how many seconds that part of the calls ended: between two bounds as if they were spread
/// evenly there. Beyond the last bound it is that.
std::optional<double> Quantile(const std::vector<uint64_t>& within, double part) {
  if (within.empty() || within.back() == 0) return std::nullopt;
  const std::vector<double>& bounds = SecondsBounds();
  const double wanted = part * static_cast<double>(within.back());
  const size_t bucket =
      std::ranges::find_if(within,
                           [&](uint64_t count) { return static_cast<double>(count) >= wanted; }) -
      within.begin();
  if (bucket >= bounds.size()) return bounds.back();
  const double below = bucket == 0 ? 0 : static_cast<double>(within[bucket - 1]);
  const double inside = static_cast<double>(within[bucket]) - below;
  const double low = bucket == 0 ? 0 : bounds[bucket - 1];
  return low + (bounds[bucket] - low) * (inside > 0 ? (wanted - below) / inside : 1);
}

}  // namespace

StatusSample StatusHistory::SampleOf(const Growth& growth, bool unary, double elapsed) {
  StatusSample sample;
  sample.calls_per_second = growth.calls / elapsed;
  sample.failures_per_second = growth.failed / elapsed;
  const double ended = growth.within.empty() ? 0 : static_cast<double>(growth.within.back());
  if (unary) sample.mean_seconds = Ratio(growth.seconds, ended);
  sample.hit_ratio = Ratio(growth.found, growth.found + growth.missed);
  return sample;
}

StatusHistory::Growth StatusHistory::Grow(Known* known, const MethodReading& reading) const {
  const MethodReading before = std::exchange(known->last, reading);
  Growth growth{.calls = reading.started - before.started,
                .failed = reading.failed - before.failed,
                .seconds = reading.seconds - before.seconds,
                .within = reading.within};
  for (size_t i = 0; i < std::min(growth.within.size(), before.within.size()); ++i) {
    growth.within[i] -= before.within[i];
  }
  return growth;
}

void StatusHistory::Take(const MetricsReading& reading, absl::Duration elapsed) {
  const double seconds = std::max(1e-3, absl::ToDoubleSeconds(elapsed));
  std::map<std::string, const CacheCounts*> counts;
  for (const CacheCounts& operation : reading.operations) {
    counts[operation.operation] = &operation;
  }
  Growth all{.within = {0}};
  for (const MethodReading& method : reading.methods) {
    Known& known = methods_[method.name];
    Growth growth = Grow(&known, method);
    if (const auto found = counts.find(method.name); found != counts.end()) {
      const CacheCounts before = std::exchange(known.counts, *found->second);
      growth.found = known.counts.found - before.found;
      growth.missed = known.counts.missed - before.missed;
    }
    if (!begun_) continue;
    all.calls += growth.calls;
    all.failed += growth.failed;
    all.found += growth.found;
    all.missed += growth.missed;
    if (method.unary) {
      all.seconds += growth.seconds;
      all.within.back() += growth.within.empty() ? 0 : growth.within.back();
    }
    if (known.samples.empty() && growth.calls == 0) continue;
    // Before its first call there was none: its samples begin when all do.
    while (known.samples.size() < samples_.size()) known.samples.emplace_back();
    Push(&known.samples, SampleOf(growth, method.unary, seconds), kSamples);
    Push(&known.lately, std::move(growth), kLately);
  }
  const std::optional<double> cpu_before = cpu_seconds_;
  if (reading.process) cpu_seconds_ = reading.process->cpu_seconds;
  if (!std::exchange(begun_, true)) return;
  StatusSample sample = SampleOf(all, true, seconds);
  if (reading.cache) sample.lag_seconds = reading.cache->lag;
  if (cpu_before) sample.cores = (*cpu_seconds_ - *cpu_before) / seconds;
  Push(&samples_, sample, kSamples);
  Push(&elapsed_, seconds, kLately);
}

absl::Duration StatusHistory::lately() const {
  return absl::Seconds(std::accumulate(elapsed_.begin(), elapsed_.end(), 0.0));
}

std::vector<MethodStatus> StatusHistory::Methods() const {
  const double seconds = absl::ToDoubleSeconds(lately());
  std::vector<MethodStatus> methods;
  for (const auto& [name, known] : methods_) {
    Growth sum;
    for (const Growth& growth : known.lately) {
      sum.calls += growth.calls;
      sum.failed += growth.failed;
      sum.seconds += growth.seconds;
      sum.found += growth.found;
      sum.missed += growth.missed;
      sum.within.resize(std::max(sum.within.size(), growth.within.size()));
      for (size_t i = 0; i < growth.within.size(); ++i) sum.within[i] += growth.within[i];
    }
    if (sum.calls == 0) continue;
    const StatusSample whole = SampleOf(sum, known.last.unary, seconds);
    MethodStatus& method = methods.emplace_back(MethodStatus{
        .name = name,
        .unary = known.last.unary,
        .calls_per_second = whole.calls_per_second,
        .calls = sum.calls,
        .failed = sum.failed,
        .hit_ratio = whole.hit_ratio,
        .mean_seconds = whole.mean_seconds,
        .samples = {known.samples.begin(), known.samples.end()},
    });
    if (!method.unary) continue;
    method.p50_seconds = Quantile(sum.within, 0.5);
    method.p99_seconds = Quantile(sum.within, 0.99);
  }
  return methods;
}

}  // namespace twi::server

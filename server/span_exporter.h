#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/address.h"
#include "server/metrics.h"
#include "server/trace.h"

namespace twi::server {

/// Sends spans to a collector, as OTLP in JSON over HTTP, on a thread of its own. Whoever has a
/// span to tell never waits: beyond kMost that are not sent yet a span is dropped, and so are those
/// that the collector does not take at once. Metrics count both. Thread-safe.
class SpanExporter {
 public:
  static constexpr size_t kMost = 4096;

  /// `http://HOST:PORT`, where OTLP is taken at `/v1/traces`. INVALID_ARGUMENT when it is not that.
  static absl::StatusOr<Address> ParseEndpoint(const std::string& endpoint);

  SpanExporter(Address collector, std::string version, Metrics* metrics,
               absl::Duration pause = absl::Seconds(1));
  /// Tries once, for a moment, to send what is left.
  ~SpanExporter();
  SpanExporter(const SpanExporter&) = delete;
  SpanExporter& operator=(const SpanExporter&) = delete;

  void Add(Span span);

 private:
  void Run();
  /// True when the collector has them.
  bool Send(const std::vector<Span>& spans, absl::Duration timeout) const;

  const Address collector_;
  const std::string version_;
  Metrics* const metrics_;
  const absl::Duration pause_;

  std::mutex mutex_;
  std::condition_variable ending_;
  bool end_ = false;        ///< Guarded by mutex_.
  std::deque<Span> queue_;  ///< Guarded by mutex_.
  std::thread thread_;
};

/// The body of an export request.
std::string ToOtlp(const std::vector<Span>& spans, const std::string& version);

}  // namespace twi::server

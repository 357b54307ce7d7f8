#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/process_numbers.h"
#include "sql/changes.h"

namespace twi::server {

/// Counters that differ in the value of one label, by index. One that is not made at the start is
/// made when it first counts, so that values which hardly ever come do not fill the page.
class CounterSet {
 public:
  using Make = std::function<prometheus::Counter&(size_t index)>;

  CounterSet(size_t size, Make make) : make_(std::move(make)), counters_(size) {}

  /// Makes the counter if it is not there yet. REQUIRES: index < size.
  prometheus::Counter& At(size_t index);

  /// What it has counted; 0 when it is not there.
  double Value(size_t index) const;

 private:
  const Make make_;
  std::vector<std::atomic<prometheus::Counter*>> counters_;
};

/// Which side of a method streams: the label `grpc_type`.
enum class MethodType { kUnary, kClientStream, kServerStream, kBidiStream };

/// What the numbers of a method are at one moment. All but `in_flight` only grow.
struct MethodReading {
  std::string name;  ///< `QuotesService/GetQuote`
  bool unary = true;
  double started = 0;
  double failed = 0;  ///< By no fault of the callers: those that alerts count as errors.
  double in_flight = 0;
  double seconds = 0;                 ///< Of all that have ended, together.
  std::vector<uint64_t> within = {};  ///< How many ended within each of SecondsBounds, and at all.
};

/// The bounds of the histograms of calls, in seconds.
const std::vector<double>& SecondsBounds();

/// The numbers of one gRPC method. Thread-safe; counting looks nothing up.
class MethodMetrics {
 public:
  MethodMetrics(prometheus::Registry* registry, const std::string& service,
                const std::string& method, MethodType type);

  void Started();
  /// Once for each Started. `seconds`: from the call's arrival to its status.
  void Handled(absl::StatusCode code, double seconds);
  void Received() { received_.Increment(); }
  void Sent() { sent_.Increment(); }

  MethodReading Read() const;

 private:
  const std::string name_;
  const bool unary_;
  prometheus::Counter& started_;
  prometheus::Counter& received_;
  prometheus::Counter& sent_;
  prometheus::Gauge& in_flight_;
  prometheus::Histogram& seconds_;
  CounterSet handled_;  ///< By code.
};

/// How a statement travelled: with others under one Sync, or alone, when its time is its own.
enum class RunMode { kBatch, kSolo };

/// How a read whose answers may be kept came by its answer.
enum class CacheResult {
  kHit,
  kStale,     ///< A hit of somebody who asked for staleness.
  kJoin,      ///< Another's statement.
  kAbsent,    ///< A miss: there was no answer that is right.
  kTooOld,    ///< A miss: there was one, less recent than asked for.
  kBypassed,  ///< Asked to.
  kUntold,    ///< Had to: the database's changes are not told.
};
/// `hit`, `join`, `miss` or `bypass`.
const char* NameOf(CacheResult result);

/// How often an operation's answers were found in the cache and not. Who went past it on purpose is
/// not among them.
struct CacheCounts {
  std::string operation;
  double found = 0;
  double missed = 0;
};

/// The numbers of one operation: of its statement, and of its answers in the cache. Thread-safe;
/// counting looks nothing up.
class OperationMetrics {
 public:
  /// `cached`: its answers may be kept.
  OperationMetrics(prometheus::Registry* registry, const std::string& operation, bool cached);

  /// A run that gave an answer. In a batch `seconds` is the time of the batch.
  void Ran(RunMode mode, double seconds);
  /// A run that failed; `sqlstate` is "" when the connection broke.
  void Failed(std::string_view sqlstate);
  void Read(CacheResult result) { reads_.At(static_cast<size_t>(result)).Increment(); }

  CacheCounts Count() const;

 private:
  const std::string name_;
  prometheus::Histogram& batch_seconds_;
  prometheus::Histogram& solo_seconds_;
  CounterSet errors_;  ///< By class of SQLSTATE.
  CounterSet reads_;   ///< By CacheResult.
};

/// What became of a span of a trace.
enum class SpanFate {
  kSent,
  kQueueFull,  ///< Dropped: the collector is slower than they come.
  kNotTaken,   ///< Dropped: the collector is away, refused them, or did not answer in time.
};

/// What the pool of connections says of itself when asked.
struct PoolReading {
  double idle = 0;
  double busy = 0;
  double connecting = 0;
  double max = 0;
  double waiters = 0;  ///< Callers that wait for a connection.
  /// Since the start.
  double opened = 0;
  double closed_idle = 0;
  double closed_lifetime = 0;
  double closed_room = 0;
  double closed_reset = 0;
  double closed_broken = 0;
  double closed_shutdown = 0;
};

/// What the cache says of itself when asked.
struct CacheReading {
  double entries = 0;
  double bytes = 0;
  /// How old what is known of the database's changes is; nothing when they are not told.
  std::optional<double> lag;
  /// How they are told.
  sql::ChangesFrom source = sql::ChangesFrom::kNone;
  /// Answers given up since the start.
  double expired = 0;
  double crowded_out = 0;
  double changed = 0;
  double generation = 0;
  double by_hand = 0;
};

/// What there is to tell people at one moment.
struct MetricsReading {
  int schema_version = 0;  ///< 0 before it is known.
  std::vector<MethodReading> methods = {};
  std::vector<CacheCounts> operations = {};  ///< Those that looked for an answer in the cache.
  std::optional<PoolReading> pool = {};
  std::optional<CacheReading> cache = {};
  std::optional<ProcessNumbers> process = {};
};

/// Everything that the service tells Prometheus. What there is stands in metrics_table.cc.
/// Thread-safe.
class Metrics {
 public:
  struct Build {
    std::string version;
    std::string commit;
    std::string grpc;
  };

  explicit Metrics(const Build& build);
  ~Metrics();

  /// The numbers of a method; they live as long as this. For the start, not for the path of a call:
  /// it makes every series that calls of ours usually end in, so that rates begin at zero. The same
  /// names give the same series.
  /// `service` is the full name, `twi.data.v1.QuotesService`.
  MethodMetrics* ForMethod(const std::string& service, const std::string& method, MethodType type);

  /// Where calls of methods that do not exist are counted: callers must not make up labels.
  MethodMetrics* unknown_method() const { return unknown_method_; }

  /// A call was turned away for who made it; other reasons of errors do not count.
  void Refused(std::string_view reason);

  void Traced(SpanFate fate, size_t spans) {
    spans_.At(static_cast<size_t>(fate)).Increment(static_cast<double>(spans));
  }

  /// A call that ended so many seconds after its deadline.
  void Overran(double seconds) { overrun_seconds_.Observe(seconds); }

  /// The numbers of an operation (`QuotesService/GetQuote`); as ForMethod.
  OperationMetrics* ForOperation(const std::string& name, bool cached = false);

  /// The pool to ask at each scrape, which must not block for long; until set, pool metrics are
  /// absent. When SetPool(nullptr) returns, the last one is not in use any more.
  void SetPool(std::function<PoolReading()> pool);

  /// The cache to ask at each scrape; as SetPool.
  void SetCache(std::function<CacheReading()> cache);

  /// The number of the last migration that the database has.
  void SetSchemaVersion(int version);

  /// The numbers that people look at. It asks pool and cache.
  MetricsReading Read() const;

  /// The page that Prometheus scrapes, as kPageType.
  std::string Page() const;
  static constexpr std::string_view kPageType = "text/plain; version=0.0.4; charset=utf-8";

 private:
  prometheus::Registry registry_;
  prometheus::Gauge& schema_version_;
  prometheus::Histogram& overrun_seconds_;
  CounterSet refused_;  ///< By reason.
  CounterSet spans_;    ///< By SpanFate.

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<MethodMetrics>> methods_;
  std::vector<std::unique_ptr<OperationMetrics>> operations_;
  MethodMetrics* unknown_method_;
  std::function<PoolReading()> pool_;
  std::function<CacheReading()> cache_;
};

}  // namespace twi::server

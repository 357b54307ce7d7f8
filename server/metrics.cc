#include "server/metrics.h"

#include <array>
#include <initializer_list>
#include <optional>
#include <span>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "prometheus/metric_family.h"
#include "prometheus/text_serializer.h"
#include "server/metrics_table.h"
#include "server/process_numbers.h"

namespace twi::server {
namespace {

using prometheus::MetricType;
using prometheus::Registry;

// One set of bounds for calls and statements, so that the two can be laid over each other. It
// begins where cache hits are and ends where a deadline is likely to.
const prometheus::Histogram::BucketBoundaries kSeconds = {
    .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 30};

// Around what is promised of overruns: 99 of 100 within 50 ms.
const prometheus::Histogram::BucketBoundaries kOverrunSeconds = {
    .001, .0025, .005, .01, .02, .03, .04, .05, .075, .1, .25, .5, 1, 2.5, 10};

// The codes of gRPC, by number, as Go spells them, and whether an error of ours has it.
struct Code {
  const char* name;
  bool usual;
  bool failure = false;  ///< As the alerts see it: by no fault of the caller.
};
constexpr std::array<Code, 17> kCodes = {{{"OK", true},
                                          {"Canceled", true},
                                          {"Unknown", true, true},
                                          {"InvalidArgument", true},
                                          {"DeadlineExceeded", true, true},
                                          {"NotFound", true},
                                          {"AlreadyExists", true},
                                          {"PermissionDenied", true},
                                          {"ResourceExhausted", true},
                                          {"FailedPrecondition", true},
                                          {"Aborted", true},
                                          {"OutOfRange", false},
                                          {"Unimplemented", true},
                                          {"Internal", true, true},
                                          {"Unavailable", true, true},
                                          {"DataLoss", true, true},
                                          {"Unauthenticated", false}}};

// Classes of SQLSTATE, its first two characters. The last takes every other.
constexpr std::array<std::pair<std::string_view, const char*>, 11> kErrorClasses = {
    {{"08", "connection"},
     {"22", "data"},
     {"23", "constraint"},
     {"25", "transaction_state"},
     {"40", "rollback"},
     {"42", "statement"},
     {"53", "resources"},
     {"54", "limit"},
     {"55", "object_state"},
     {"57", "intervention"},
     {"", "other"}}};

// CacheResult by number: its result and reason.
constexpr std::array<std::pair<const char*, const char*>, 7> kResults = {{{"hit", "fresh"},
                                                                          {"hit", "stale"},
                                                                          {"join", "flight"},
                                                                          {"miss", "absent"},
                                                                          {"miss", "too_old"},
                                                                          {"bypass", "asked"},
                                                                          {"bypass", "untold"}}};

// What Access turns callers away for: reasons of errors, which stand here in lower case.
constexpr std::array<std::pair<std::string_view, const char*>, 5> kRefusals = {
    {{"CREDENTIALS_MISSING", "credentials_missing"},
     {"CREDENTIALS_INVALID", "credentials_invalid"},
     {"NOT_GRANTED", "not_granted"},
     {"RATE_LIMITED", "rate_limited"},
     {"TOO_MANY_IN_FLIGHT", "too_many_in_flight"}}};

// SpanFate by number.
constexpr std::array<const char*, 3> kFates = {"sent", "queue_full", "not_taken"};

size_t ErrorClass(std::string_view sqlstate) {
  if (sqlstate.empty()) sqlstate = "08";
  size_t i = 0;
  while (i < kErrorClasses.size() - 1 && kErrorClasses[i].first != sqlstate.substr(0, 2)) ++i;
  return i;
}

prometheus::Labels LabelsOf(const MetricDescription& row, const std::vector<std::string>& values) {
  prometheus::Labels labels;
  for (size_t i = 0; i < row.labels.size(); ++i) labels[row.labels[i]] = values.at(i);
  return labels;
}

prometheus::Counter& Counter(Registry* registry, std::string_view name,
                             const std::vector<std::string>& values) {
  const MetricDescription& row = FindMetric(name);
  return prometheus::BuildCounter().Name(row.name).Help(row.help).Register(*registry).Add(
      LabelsOf(row, values));
}

prometheus::Gauge& Gauge(Registry* registry, std::string_view name,
                         const std::vector<std::string>& values = {}) {
  const MetricDescription& row = FindMetric(name);
  return prometheus::BuildGauge().Name(row.name).Help(row.help).Register(*registry).Add(
      LabelsOf(row, values));
}

prometheus::Histogram& Histogram(Registry* registry, std::string_view name,
                                 const std::vector<std::string>& values,
                                 const prometheus::Histogram::BucketBoundaries& bounds = kSeconds) {
  const MetricDescription& row = FindMetric(name);
  return prometheus::BuildHistogram().Name(row.name).Help(row.help).Register(*registry).Add(
      LabelsOf(row, values), bounds);
}

std::string TypeName(MethodType type) {
  constexpr std::array<const char*, 4> kNames = {"unary", "client_stream", "server_stream",
                                                 "bidi_stream"};
  return kNames[static_cast<size_t>(type)];
}

/// Metrics that are read when the page is made.
class Readings {
 public:
  /// A metric without labels.
  void Add(std::string_view name, double value) { Add(name, {{"", value}}); }

  /// A metric with one label, by its value.
  void Add(std::string_view name, std::initializer_list<std::pair<const char*, double>> values) {
    const MetricDescription& row = FindMetric(name);
    prometheus::MetricFamily family{row.name, row.help, row.type, {}};
    for (const auto& [label, value] : values) {
      prometheus::ClientMetric& metric = family.metric.emplace_back();
      if (!row.labels.empty()) metric.label = {{row.labels.front(), label}};
      (row.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    }
    families_.push_back(std::move(family));
  }

  void Add(const PoolReading& pool) {
    Add("twi_data_db_pool_connections",
        {{"idle", pool.idle}, {"busy", pool.busy}, {"connecting", pool.connecting}});
    Add("twi_data_db_pool_max", pool.max);
    Add("twi_data_db_pool_waiters", pool.waiters);
    Add("twi_data_db_pool_connections_opened_total", pool.opened);
    Add("twi_data_db_pool_connections_closed_total", {{"idle", pool.closed_idle},
                                                      {"lifetime", pool.closed_lifetime},
                                                      {"room", pool.closed_room},
                                                      {"reset", pool.closed_reset},
                                                      {"broken", pool.closed_broken},
                                                      {"shutdown", pool.closed_shutdown}});
  }

  void Add(const CacheReading& cache) {
    Add("twi_data_cache_entries", cache.entries);
    Add("twi_data_cache_bytes", cache.bytes);
    Add("twi_data_cache_evictions_total",
        {{"expired", cache.expired}, {"crowded_out", cache.crowded_out}});
    Add("twi_data_cache_invalidations_total",
        {{"change", cache.changed}, {"generation", cache.generation}, {"hand", cache.by_hand}});
    if (cache.lag) Add("twi_data_cache_lag_seconds", *cache.lag);
    const auto is = [&](sql::ChangesFrom source) {
      return std::pair(sql::NameOf(source), source == cache.source ? 1.0 : 0.0);
    };
    Add("twi_data_cache_source", {is(sql::ChangesFrom::kStream), is(sql::ChangesFrom::kOutbox),
                                  is(sql::ChangesFrom::kNone)});
  }

  void Add(const ProcessNumbers& process) {
    Add("process_cpu_seconds_total", process.cpu_seconds);
    Add("process_start_time_seconds", process.start_time);
    Add("process_resident_memory_bytes", process.resident_bytes);
    Add("process_virtual_memory_bytes", process.virtual_bytes);
    Add("process_threads", process.threads);
    Add("process_open_fds", process.open_fds);
    Add("process_max_fds", process.max_fds);
  }

  std::span<prometheus::MetricFamily> families() { return families_; }

 private:
  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace

prometheus::Counter& CounterSet::At(size_t index) {
  std::atomic<prometheus::Counter*>& counter = counters_[index];
  // Two threads may both make it: the registry gives both the same one.
  if (counter.load(std::memory_order_acquire) == nullptr) {
    counter.store(&make_(index), std::memory_order_release);
  }
  return *counter.load(std::memory_order_relaxed);
}

double CounterSet::Value(size_t index) const {
  const prometheus::Counter* counter = counters_[index].load(std::memory_order_acquire);
  return counter == nullptr ? 0 : counter->Value();
}

const std::vector<double>& SecondsBounds() { return kSeconds; }

MethodMetrics::MethodMetrics(Registry* registry, const std::string& service,
                             const std::string& method, MethodType type)
    : name_(absl::StrCat(service.substr(service.rfind('.') + 1), "/", method)),
      unary_(type == MethodType::kUnary),
      started_(Counter(registry, "grpc_server_started_total", {TypeName(type), service, method})),
      received_(
          Counter(registry, "grpc_server_msg_received_total", {TypeName(type), service, method})),
      sent_(Counter(registry, "grpc_server_msg_sent_total", {TypeName(type), service, method})),
      in_flight_(Gauge(registry, "grpc_server_in_flight", {service, method})),
      seconds_(
          Histogram(registry, "grpc_server_handling_seconds", {TypeName(type), service, method})),
      handled_(kCodes.size(), [=](size_t code) -> prometheus::Counter& {
        return Counter(registry, "grpc_server_handled_total",
                       {TypeName(type), service, method, kCodes[code].name});
      }) {
  for (size_t code = 0; code < kCodes.size(); ++code) {
    if (kCodes[code].usual) handled_.At(code);
  }
}

void MethodMetrics::Started() {
  started_.Increment();
  in_flight_.Increment();
}

void MethodMetrics::Handled(absl::StatusCode code, double seconds) {
  size_t number = static_cast<size_t>(code);
  if (number >= kCodes.size()) number = static_cast<size_t>(absl::StatusCode::kUnknown);
  handled_.At(number).Increment();
  seconds_.Observe(seconds);
  in_flight_.Decrement();
}

MethodReading MethodMetrics::Read() const {
  MethodReading reading{
      .name = name_, .unary = unary_, .started = started_.Value(), .in_flight = in_flight_.Value()};
  for (size_t code = 0; code < kCodes.size(); ++code) {
    if (kCodes[code].failure) reading.failed += handled_.Value(code);
  }
  const prometheus::ClientMetric::Histogram ended = seconds_.Collect().histogram;
  reading.seconds = ended.sample_sum;
  for (const auto& bucket : ended.bucket) reading.within.push_back(bucket.cumulative_count);
  return reading;
}

const char* NameOf(CacheResult result) { return kResults[static_cast<size_t>(result)].first; }

OperationMetrics::OperationMetrics(Registry* registry, const std::string& operation, bool cached)
    : name_(operation),
      batch_seconds_(Histogram(registry, "twi_data_db_query_seconds", {operation, "batch"})),
      solo_seconds_(Histogram(registry, "twi_data_db_query_seconds", {operation, "solo"})),
      errors_(kErrorClasses.size(),
              [=](size_t i) -> prometheus::Counter& {
                return Counter(registry, "twi_data_db_query_errors_total",
                               {operation, kErrorClasses[i].second});
              }),
      reads_(kResults.size(), [=](size_t i) -> prometheus::Counter& {
        return Counter(registry, "twi_data_cache_requests_total",
                       {operation, kResults[i].first, kResults[i].second});
      }) {
  // The class that alerts ask for; the others appear with their first error.
  errors_.At(ErrorClass(""));
  for (CacheResult usual : {CacheResult::kHit, CacheResult::kAbsent}) {
    if (cached) reads_.At(static_cast<size_t>(usual));
  }
}

void OperationMetrics::Ran(RunMode mode, double seconds) {
  (mode == RunMode::kBatch ? batch_seconds_ : solo_seconds_).Observe(seconds);
}

void OperationMetrics::Failed(std::string_view sqlstate) {
  errors_.At(ErrorClass(sqlstate)).Increment();
}

CacheCounts OperationMetrics::Count() const {
  const auto count = [this](CacheResult result) {
    return reads_.Value(static_cast<size_t>(result));
  };
  return {
      .operation = name_,
      .found = count(CacheResult::kHit) + count(CacheResult::kStale) + count(CacheResult::kJoin),
      .missed = count(CacheResult::kAbsent) + count(CacheResult::kTooOld)};
}

Metrics::Metrics(const Build& build)
    : schema_version_(Gauge(&registry_, "twi_data_schema_version")),
      overrun_seconds_(
          Histogram(&registry_, "twi_data_deadline_overrun_seconds", {}, kOverrunSeconds)),
      refused_(kRefusals.size(),
               [this](size_t i) -> prometheus::Counter& {
                 return Counter(&registry_, "twi_data_access_refused_total", {kRefusals[i].second});
               }),
      spans_(kFates.size(),
             [this](size_t i) -> prometheus::Counter& {
               return Counter(&registry_, "twi_data_trace_spans_total", {kFates[i]});
             }),
      unknown_method_(ForMethod("unknown", "unknown", MethodType::kBidiStream)) {
  Gauge(&registry_, "twi_data_build_info", {build.version, build.commit, build.grpc}).Set(1);
  for (size_t i = 0; i < kRefusals.size(); ++i) refused_.At(i);
  for (size_t i = 0; i < kFates.size(); ++i) spans_.At(i);
}

Metrics::~Metrics() = default;

MethodMetrics* Metrics::ForMethod(const std::string& service, const std::string& method,
                                  MethodType type) {
  std::lock_guard lock(mutex_);
  return methods_.emplace_back(std::make_unique<MethodMetrics>(&registry_, service, method, type))
      .get();
}

OperationMetrics* Metrics::ForOperation(const std::string& name, bool cached) {
  std::lock_guard lock(mutex_);
  return operations_.emplace_back(std::make_unique<OperationMetrics>(&registry_, name, cached))
      .get();
}

void Metrics::Refused(std::string_view reason) {
  for (size_t i = 0; i < kRefusals.size(); ++i) {
    if (kRefusals[i].first == reason) refused_.At(i).Increment();
  }
}

void Metrics::SetPool(std::function<PoolReading()> pool) {
  std::lock_guard lock(mutex_);
  pool_ = std::move(pool);
}

void Metrics::SetCache(std::function<CacheReading()> cache) {
  std::lock_guard lock(mutex_);
  cache_ = std::move(cache);
}

void Metrics::SetSchemaVersion(int version) { schema_version_.Set(version); }

MetricsReading Metrics::Read() const {
  MetricsReading reading;
  reading.schema_version = static_cast<int>(schema_version_.Value());
  reading.process = ReadProcess();
  std::lock_guard lock(mutex_);
  for (const auto& method : methods_) reading.methods.push_back(method->Read());
  for (const auto& operation : operations_) {
    CacheCounts counts = operation->Count();
    if (counts.found + counts.missed > 0) reading.operations.push_back(std::move(counts));
  }
  if (pool_) reading.pool = pool_();
  if (cache_) reading.cache = cache_();
  return reading;
}

std::string Metrics::Page() const {
  Readings readings;
  {
    std::lock_guard lock(mutex_);
    if (pool_) readings.Add(pool_());
    if (cache_) readings.Add(cache_());
  }
  if (const std::optional<ProcessNumbers> process = ReadProcess()) readings.Add(*process);

  std::vector<prometheus::MetricFamily> families = registry_.Collect();
  for (prometheus::MetricFamily& family : readings.families()) {
    families.push_back(std::move(family));
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace twi::server

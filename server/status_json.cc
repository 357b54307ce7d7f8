#include <string_view>

#include "nlohmann/json.hpp"
#include "server/status.h"
#include "sql/changes.h"
#include "sql/text.h"

namespace twi::server {
namespace {

using nlohmann::json;

std::string Text(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

double Seconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

/// What is counted, as a whole number.
json Count(double value) { return static_cast<int64_t>(value); }

json Of(const std::optional<double>& value) { return value ? json(*value) : json(); }

json Of(const StatusSample& sample) {
  return {{"calls_per_second", sample.calls_per_second},
          {"failures_per_second", sample.failures_per_second},
          {"mean_seconds", Of(sample.mean_seconds)},
          {"hit_ratio", Of(sample.hit_ratio)},
          {"lag_seconds", Of(sample.lag_seconds)},
          {"cores", Of(sample.cores)}};
}

json Of(const MethodStatus& method) {
  json samples = json::array();
  for (const StatusSample& sample : method.samples) {
    samples.push_back(
        {{"calls_per_second", sample.calls_per_second}, {"mean_seconds", Of(sample.mean_seconds)}});
  }
  return {{"method", method.name},
          {"calls_per_second", method.calls_per_second},
          {"calls", Count(method.calls)},
          {"failed", Count(method.failed)},
          {"hit_ratio", Of(method.hit_ratio)},
          {"mean_seconds", Of(method.mean_seconds)},
          {"p50_seconds", Of(method.p50_seconds)},
          {"p99_seconds", Of(method.p99_seconds)},
          {"samples", std::move(samples)}};
}

json Of(const sql::ConnectionActivity& connection) {
  constexpr const char* kKinds[] = {"read_lane", "write_lane", "read_session", "session"};
  constexpr const char* kStates[] = {"closed", "idle", "running", "lent"};
  json statements = json::array();
  for (const sql::RunningStatement& statement : connection.statements) {
    statements.push_back({{"operation", statement.operation},
                          {"fingerprint", statement.fingerprint},
                          {"callers", statement.callers}});
  }
  return {{"kind", kKinds[static_cast<size_t>(connection.kind)]},
          {"state", kStates[static_cast<size_t>(connection.state)]},
          {"seconds", Seconds(connection.lasts)},
          {"waiting", connection.waiting},
          {"statements", std::move(statements)}};
}

json Of(const Status::SlowStatement& statement) {
  return {{"operation", statement.operation},
          {"fingerprint", statement.fingerprint},
          {"times", statement.times},
          {"failed", statement.failed},
          {"longest_seconds", Seconds(statement.longest)},
          {"longest_wait_seconds", Seconds(statement.waited)},
          {"last_at", Text(statement.last)}};
}

json Of(const Failure& failure) {
  return {{"method", failure.method},     {"code", absl::StatusCodeToString(failure.code)},
          {"reason", failure.reason},     {"principal", failure.principal},
          {"times", failure.times},       {"first_at", Text(failure.first)},
          {"last_at", Text(failure.last)}};
}

json Of(const Status::InFlight& method) {
  return {{"method", method.method}, {"calls", Count(method.calls)}};
}

json Of(const PoolReading& pool) {
  return {{"idle", Count(pool.idle)},         {"busy", Count(pool.busy)},
          {"max", Count(pool.max)},           {"connecting", Count(pool.connecting)},
          {"waiting", Count(pool.waiters)},   {"opened", Count(pool.opened)},
          {"lost", Count(pool.closed_broken)}};
}

json Of(const CacheReading& cache) {
  return {{"entries", Count(cache.entries)},
          {"bytes", Count(cache.bytes)},
          {"source", sql::NameOf(cache.source)},
          {"lag_seconds", Of(cache.lag)},
          {"evictions", Count(cache.expired + cache.crowded_out)},
          {"invalidations", Count(cache.changed + cache.generation + cache.by_hand)}};
}

json Of(const ProcessNumbers& process) {
  return {{"cpu_seconds", process.cpu_seconds},
          {"resident_bytes", process.resident_bytes},
          {"threads", process.threads},
          {"open_fds", process.open_fds}};
}

template <typename Value>
json OfSome(const std::optional<Value>& value) {
  return value ? Of(*value) : json();
}

template <typename Value>
json OfAll(const std::vector<Value>& values) {
  json list = json::array();
  for (const Value& value : values) list.push_back(Of(value));
  return list;
}

}  // namespace

std::string ToJson(const Status& status) {
  const json told = {
      {"version", status.build.version},
      {"commit", status.build.commit},
      {"grpc", status.build.grpc},
      {"host", status.host},
      {"now", Text(status.now)},
      {"started_at", Text(status.started)},
      {"uptime_seconds", absl::ToDoubleSeconds(status.now - status.started)},
      {"ready", status.ready.ok()},
      {"not_ready_because", ToStd(status.ready.message())},
      {"schema", status.schema},
      {"process", OfSome(status.process)},
      {"pool", OfSome(status.pool)},
      {"cache", OfSome(status.cache)},
      {"connections", status.connections ? OfAll(*status.connections) : json()},
      {"in_flight", OfAll(status.in_flight)},
      {"sample_seconds", absl::ToDoubleSeconds(status.tick)},
      {"samples", OfAll(status.samples)},
      {"lately_seconds", absl::ToDoubleSeconds(status.lately)},
      {"busiest", OfAll(status.busiest)},
      {"slowest", OfAll(status.slowest)},
      {"slow_query_seconds", Seconds(status.slow_threshold)},
      {"slow_statements", OfAll(status.slow_statements)},
      {"failures", OfAll(status.failures)},
  };
  return told.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace twi::server

#include "server/metrics_table.h"

#include <cstdlib>

namespace twi::server {
namespace {

using prometheus::MetricType;

// Every metric of the service. Names, labels and types are a promise to dashboards and alerts:
// tests/server/metrics.golden holds them fast. RPC metrics are named as go-grpc-middleware names
// them, because public dashboards ask for those names. No label has values that callers choose.
const std::vector<MetricDescription> kTable = {
    {"grpc_server_started_total",
     MetricType::Counter,
     {"grpc_type", "grpc_service", "grpc_method"},
     "Calls begun."},
    {"grpc_server_handled_total",
     MetricType::Counter,
     {"grpc_type", "grpc_service", "grpc_method", "grpc_code"},
     "Calls ended, by status code."},
    {"grpc_server_handling_seconds",
     MetricType::Histogram,
     {"grpc_type", "grpc_service", "grpc_method"},
     "Time from a call's arrival to its status."},
    {"grpc_server_msg_received_total",
     MetricType::Counter,
     {"grpc_type", "grpc_service", "grpc_method"},
     "Messages received."},
    {"grpc_server_msg_sent_total",
     MetricType::Counter,
     {"grpc_type", "grpc_service", "grpc_method"},
     "Messages sent."},
    {"grpc_server_in_flight",
     MetricType::Gauge,
     {"grpc_service", "grpc_method"},
     "Calls begun and not ended."},
    {"twi_data_access_refused_total",
     MetricType::Counter,
     {"reason"},
     "Calls turned away for who made them, by reason."},
    {"twi_data_deadline_overrun_seconds",
     MetricType::Histogram,
     {},
     "How long after their deadlines calls ended, of those that did."},
    {"twi_data_db_query_seconds",
     MetricType::Histogram,
     {"operation", "mode"},
     "Time of a statement, from sending to its result: its own when solo, the batch's in a batch."},
    {"twi_data_db_query_errors_total",
     MetricType::Counter,
     {"operation", "class"},
     "Statements that failed, by class of SQLSTATE."},
    {"twi_data_cache_requests_total",
     MetricType::Counter,
     {"operation", "result", "reason"},
     "Reads whose answers may be kept, by where the answer came from and why."},
    {"twi_data_cache_entries", MetricType::Gauge, {}, "Answers that are kept."},
    {"twi_data_cache_bytes", MetricType::Gauge, {}, "Bytes that kept answers take."},
    {"twi_data_cache_evictions_total",
     MetricType::Counter,
     {"reason"},
     "Answers given up that were right: their time was over, or their room was needed."},
    {"twi_data_cache_invalidations_total",
     MetricType::Counter,
     {"source"},
     "Answers given up as wrong: by a change, by a new schema or stream of changes, or by hand."},
    {"twi_data_cache_lag_seconds",
     MetricType::Gauge,
     {},
     "How old what is known of the database's changes is; absent while they are not told."},
    {"twi_data_cache_source",
     MetricType::Gauge,
     {"source"},
     "1 for how the database's changes are told now: by its log, by triggers, or not at all."},
    {"twi_data_db_pool_connections", MetricType::Gauge, {"state"}, "Connections to the database."},
    {"twi_data_db_pool_max", MetricType::Gauge, {}, "Connections that may be open."},
    {"twi_data_db_pool_waiters", MetricType::Gauge, {}, "Callers that wait for a connection."},
    {"twi_data_db_pool_connections_opened_total",
     MetricType::Counter,
     {},
     "Connections opened to the database."},
    {"twi_data_db_pool_connections_closed_total",
     MetricType::Counter,
     {"reason"},
     "Connections closed, by reason."},
    {"twi_data_trace_spans_total",
     MetricType::Counter,
     {"result"},
     "Spans of sampled traces, by whether the collector has them or why not."},
    {"twi_data_build_info",
     MetricType::Gauge,
     {"version", "commit", "grpc"},
     "1, with the build in its labels."},
    {"twi_data_schema_version",
     MetricType::Gauge,
     {},
     "Number of the last migration that the database has; 0 before it is known."},
    {"process_cpu_seconds_total", MetricType::Counter, {}, "CPU time, user and system."},
    {"process_start_time_seconds", MetricType::Gauge, {}, "When the process began, since 1970."},
    {"process_resident_memory_bytes", MetricType::Gauge, {}, "Memory in RAM."},
    {"process_virtual_memory_bytes", MetricType::Gauge, {}, "Memory mapped."},
    {"process_threads", MetricType::Gauge, {}, "Threads."},
    {"process_open_fds", MetricType::Gauge, {}, "File descriptors open."},
    {"process_max_fds", MetricType::Gauge, {}, "File descriptors that may be open."},
};

}  // namespace

const MetricDescription& FindMetric(std::string_view name) {
  for (const MetricDescription& row : kTable) {
    if (row.name == name) return row;
  }
  std::abort();
}

}  // namespace twi::server

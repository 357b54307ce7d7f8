#include "server/record.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/log.h"
#include "server/method.h"
#include "server/principal.h"
#include "sql/errors.h"
#include "sql/text.h"

namespace twi::server {
namespace {

using sql::Clock;

// How much earlier than ours a client's deadline may pass: what the request was under way.
constexpr std::chrono::milliseconds kClientsClock{20};

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

absl::StatusCode Code(const Call& call, const absl::Status& status) {
  if (!call.cancelled()) return status.code();
  // A client gives up at the deadline by its own clock, and on the wire a deadline is rounded up by
  // at most 1 %: who leaves in the last 2 % was late.
  const auto early =
      std::max<Clock::duration>((call.deadline() - call.arrived()) / 50, kClientsClock);
  return Clock::now() + early < call.deadline() ? absl::StatusCode::kCancelled
                                                : absl::StatusCode::kDeadlineExceeded;
}

/// How loudly a call's end is told: what callers did wrong is theirs to know.
LogLevel Level(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
      return LogLevel::kError;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return LogLevel::kWarning;
    default:
      return LogLevel::kDebug;
  }
}

/// Whether people look for it. What callers did wrong would push out the rest.
bool ToRemember(absl::StatusCode code) {
  return Level(code) > LogLevel::kInfo || code == absl::StatusCode::kDeadlineExceeded;
}

/// Logs something of a call, with its trace's id where it has a trace.
void Log(LogLevel level, std::string_view message, std::vector<LogField> fields,
         const Trace* trace) {
  if (trace != nullptr) fields.emplace_back("trace_id", trace->id());
  ProcessLog().Log(level, message, fields);
}

void RecordSlow(const Method& method, const sql::Execution& execution, Clock::time_point submitted,
                SlowQueries* slow, const Trace* trace) {
  SlowQuery query = {.operation = method.name,
                     .ended = absl::Now(),
                     .queue_wait = execution.first_sent - submitted,
                     .execution = execution.run_time,
                     .attempts = execution.attempts,
                     .rows = execution.rows.affected(),
                     .code = execution.status.code()};
  if (execution.statement != nullptr) query.fingerprint = execution.statement->fingerprint;
  if (query.attempts > 1) query.retries = Clock::now() - execution.first_sent - query.execution;
  Log(LogLevel::kWarning, "slow query",
      {{"operation", query.operation},
       {"fingerprint", query.fingerprint},
       {"seconds", Seconds(query.execution)},
       {"queue_s", Seconds(query.queue_wait)},
       {"retries_s", Seconds(query.retries)},
       {"rows", query.rows}},
      trace);
  slow->Add(std::move(query));
}

/// Whether a span of a call is one that failed: as the conventions have it, where the server did.
bool SpanFails(absl::StatusCode code) {
  return code == absl::StatusCode::kDeadlineExceeded || code == absl::StatusCode::kUnimplemented ||
         code == absl::StatusCode::kUnavailable || Level(code) == LogLevel::kError;
}

void EndSpan(const Call& call, absl::StatusCode code, double seconds) {
  Span span{.end = absl::Now(), .code = static_cast<int>(code), .failed = SpanFails(code)};
  span.begin = span.end - absl::Seconds(seconds);
  span.name = "unknown";
  if (call.method() != nullptr) {
    const google::protobuf::MethodDescriptor& method = *call.method()->descriptor;
    span.service = method.service()->full_name();
    span.method = method.name();
    span.name = absl::StrCat(span.service, "/", span.method);
  }
  call.trace()->EndCall(std::move(span));
}

/// Of a statement's last try.
void EndSpan(const Trace& trace, const Method& method, const sql::Execution& execution) {
  Span span{.name = method.name,
            .kind = Span::Kind::kClient,
            .end = absl::Now(),
            .operation = method.name,
            .sqlstate = execution.sqlstate,
            .failed = !execution.status.ok()};
  span.begin = span.end - absl::FromChrono(execution.run_time);
  trace.EndChild(std::move(span));
}

}  // namespace

void RecordCall(const Call& call, const absl::Status& status, const Recorders& recorders) {
  const absl::StatusCode code = Code(call, status);
  const Clock::time_point now = Clock::now();
  const double seconds = Seconds(now - call.arrived());
  call.metrics().Handled(code, seconds);
  if (now > call.deadline()) recorders.metrics->Overran(Seconds(now - call.deadline()));
  if (call.trace() != nullptr && call.trace()->wanted()) EndSpan(call, code, seconds);
  const bool failed = code != absl::StatusCode::kOk;
  if (!failed && !recorders.access_log) return;
  const std::string principal = call.principal() == nullptr ? "" : call.principal()->name();
  if (recorders.failures != nullptr && failed && ToRemember(code)) {
    recorders.failures->Add({.method = call.method() == nullptr ? "unknown" : call.method()->name,
                             .code = code,
                             .reason = std::string(sql::Reason(status)),
                             .principal = principal,
                             .last = absl::Now()});
  }

  const LogLevel level =
      recorders.access_log ? std::max(LogLevel::kInfo, Level(code)) : Level(code);
  if (!ProcessLog().enabled(level)) return;
  const std::string name = absl::StatusCodeToString(code);
  const std::string reason(sql::Reason(status));
  const std::string peer = call.peer();
  std::vector<LogField> fields = {{"rpc", call.path()}, {"code", name}};
  if (failed) {
    fields.emplace_back("reason", reason);
    fields.emplace_back("error", ToStd(status.message()));
  }
  fields.emplace_back("dur_s", seconds);
  fields.emplace_back("peer", peer);
  fields.emplace_back("principal", principal);
  if (call.trace() != nullptr) fields.emplace_back("trace_id", call.trace()->id());
  if (recorders.access_log) {
    const bool answered = status.ok() && call.method() != nullptr && call.method()->answers_once();
    fields.emplace_back("cache", call.from());
    fields.emplace_back("in_bytes", call.received_bytes());
    fields.emplace_back("out_bytes", call.sent_bytes(answered));
  }
  const char* const message = failed ? "call failed" : "call";
  if (recorders.access_log) {
    ProcessLog().LogEach(level, message, fields);
  } else {
    Log(level, message, fields);
  }
}

void RecordRun(const Method& method, const sql::Execution& execution,
               sql::Clock::time_point submitted, SlowQueries* slow, const Trace* trace) {
  // A refused execution never got to the database.
  if (execution.attempts == 0) return;
  // Nor is it the statement's failure that nobody waited for its answer.
  const absl::StatusCode code = execution.status.code();
  const bool ended =
      code == absl::StatusCode::kDeadlineExceeded || code == absl::StatusCode::kCancelled;
  if (ended && execution.sqlstate.empty()) return;
  if (trace != nullptr && trace->wanted()) EndSpan(*trace, method, execution);
  const double seconds = Seconds(execution.run_time);
  if (execution.status.ok()) {
    method.operation_metrics->Ran(execution.solo ? RunMode::kSolo : RunMode::kBatch, seconds);
  } else {
    method.operation_metrics->Failed(execution.sqlstate);
    const LogLevel level = Level(execution.status.code());
    Log(execution.status.code() == absl::StatusCode::kFailedPrecondition ? LogLevel::kWarning
                                                                         : level,
        "statement failed",
        {{"operation", method.name},
         {"sqlstate", execution.sqlstate},
         {"error", execution.database_message}},
        trace);
  }
  if (slow != nullptr && execution.solo && execution.run_time >= slow->threshold()) {
    RecordSlow(method, execution, submitted, slow, trace);
  }
}

}  // namespace twi::server

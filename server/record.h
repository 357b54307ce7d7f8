#pragma once

#include "absl/status/status.h"
#include "server/call.h"
#include "server/failures.h"
#include "server/metrics.h"
#include "server/slow_queries.h"
#include "server/trace.h"
#include "sql/execution.h"

namespace twi::server {

/// Who is told of calls.
struct Recorders {
  Metrics* metrics;
  /// Remembers calls that failed by no mistake of their callers; may be null.
  Failures* failures = nullptr;
  /// Each call has its line in the log, and not only those that fail.
  bool access_log = false;
};

/// Tells of a call that ends now, with `status`. A caller that did not wait for the answer counts
/// as cancelled, or as too late when its deadline passed.
void RecordCall(const Call& call, const absl::Status& status, const Recorders& recorders);

/// Tells metrics and log of a statement's run: its time, its failure in the database's words (which
/// callers never see), and that it was slow, which `slow`, unless it is null, remembers. Only the
/// time of a run alone is the statement's own. `submitted`: when it was given to the pool. `trace`:
/// of the call that it ran for, or null.
void RecordRun(const Method& method, const sql::Execution& execution,
               sql::Clock::time_point submitted, SlowQueries* slow, const Trace* trace);

}  // namespace twi::server

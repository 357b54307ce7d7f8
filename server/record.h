#pragma once

#include "absl/status/status.h"
#include "server/call.h"
#include "server/failures.h"
#include "server/metrics.h"
#include "server/slow_queries.h"
#include "sql/execution.h"

namespace twi::server {

/// Tells metrics and log of a call that ends now, with `status`. A caller that did not wait for the
/// answer counts as cancelled, or as too late when its deadline passed. `failures`, unless it is
/// null, remembers those calls that the log tells, or that were too late.
void RecordCall(const Call& call, const absl::Status& status, Metrics* metrics, Failures* failures);

/// Tells metrics and log of a statement's run: its time, its failure in the database's words (which
/// callers never see), and that it was slow, which `slow`, unless it is null, remembers. Only the
/// time of a run alone is the statement's own. `submitted`: when it was given to the pool.
void RecordRun(const Method& method, const sql::Execution& execution,
               sql::Clock::time_point submitted, SlowQueries* slow);

}  // namespace twi::server

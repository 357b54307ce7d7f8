#include "sql/execution.h"

namespace twi::sql {

bool Execution::Expire() {
  if (abandoned()) {
    status = GaveUp();
    return true;
  }
  if (Clock::now() < deadline) return false;
  status = TooLate();
  return true;
}

void Execution::Fail(const DatabaseError& error) {
  rows = Rows();
  status = error.ToStatus();
  sqlstate = error.sqlstate;
  database_message = error.message;
}

bool Execution::SurvivesBreak(const DatabaseError& error) {
  rows = Rows();
  if (!statement->read_only && !idempotent) {
    Fail(error);
    status = Error(absl::StatusCode::kUnknown, "OUTCOME_UNKNOWN",
                   "the connection to the database broke after the write was sent; it may have "
                   "been done");
    return false;
  }
  if (may_run_again()) return true;
  Fail(error);
  return false;
}

}  // namespace twi::sql

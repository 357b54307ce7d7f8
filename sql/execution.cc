#include "sql/execution.h"

#include <utility>

namespace twi::sql {

absl::Status Awaited(Clock::time_point deadline, const std::atomic<bool>* cancelled) {
  if (cancelled != nullptr && cancelled->load(std::memory_order_relaxed)) return GaveUp();
  return Clock::now() < deadline ? absl::OkStatus() : TooLate();
}

bool Execution::Expire() {
  absl::Status awaited = Awaited(deadline, cancelled);
  if (awaited.ok()) return false;
  status = std::move(awaited);
  return true;
}

void Execution::Fail(const DatabaseError& error) {
  rows = Rows();
  status = statement->raw ? error.ToStatusOfRaw() : error.ToStatus();
  sqlstate = error.sqlstate;
  database_message = error.message;
}

void Execution::FailUnknown(const DatabaseError& error) {
  Fail(error);
  status = OutcomeUnknown();
}

bool Execution::SurvivesBreak(const DatabaseError& error) {
  rows = Rows();
  if (!statement->read_only && !idempotent) {
    FailUnknown(error);
    return false;
  }
  if (may_run_again()) return true;
  Fail(error);
  return false;
}

}  // namespace twi::sql

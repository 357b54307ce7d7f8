#include "sql/waiter.h"

namespace twi::sql {

bool Waiter::read_only() const { return execution != nullptr && execution->statement->read_only; }

const Flow* Waiter::flow() const { return execution != nullptr ? execution->flow : loan->flow; }

Clock::time_point Waiter::deadline() const {
  return execution != nullptr ? execution->deadline : loan->deadline;
}

bool Waiter::Expire() const {
  if (execution != nullptr) return execution->Expire();
  loan->status = Awaited(loan->deadline, loan->cancelled);
  return !loan->status.ok();
}

void Waiter::Answer(const absl::Status& status) const {
  (execution != nullptr ? execution->status : loan->status) = status;
  Done();
}

void Waiter::Done() const { execution != nullptr ? execution->done() : loan->done(); }

}  // namespace twi::sql

#pragma once

#include "absl/status/status.h"
#include "sql/execution.h"
#include "sql/lease.h"

namespace twi::sql {

/// One that waits for a session: the one or the other.
struct Waiter {
  Execution* execution = nullptr;
  Loan* loan = nullptr;

  /// Whether a session that can only read will do.
  bool read_only() const;
  const Flow* flow() const;
  Clock::time_point deadline() const;
  /// True, with its status set, when it is abandoned or its deadline has passed.
  bool Expire() const;
  void Answer(const absl::Status& status) const;
  void Done() const;
};

}  // namespace twi::sql

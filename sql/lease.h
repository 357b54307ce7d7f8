#pragma once

#include <atomic>
#include <coroutine>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "sql/execution.h"

namespace twi::sql {

struct Lent;

/// A session lent to one caller, and given back when destroyed: from any thread, and also when the
/// pool has stopped or is gone.
///
/// Given back outside a transaction, the session is reset before the next caller has it; inside
/// one or inside a COPY (sql/copy.h) it is closed, which rolls that back. REQUIRES: no statement
/// runs in it then.
class Lease {
 public:
  /// Holds none.
  Lease() = default;
  explicit Lease(std::shared_ptr<Lent> lent) : lent_(std::move(lent)) {}
  ~Lease();
  Lease(Lease&& other) noexcept = default;
  Lease& operator=(Lease&& other) noexcept {
    std::swap(lent_, other.lent_);
    return *this;
  }

  explicit operator bool() const { return lent_ != nullptr; }

  /// `co_await lease.Run(execution)`: one statement, one at a time; returns on the pool's thread,
  /// or at once when the pool has stopped. Nothing is ever run again:
  ///
  ///   ABORTED            the transaction is to be tried again as a whole
  ///   ABORTED, reason TRANSACTION_IDLE   it lay idle for too long and was rolled back
  ///   UNAVAILABLE        the connection broke, and nothing of the transaction was done
  ///   UNKNOWN            it broke at kCommit, or while a write ran outside a transaction
  ///
  /// REQUIRES: it holds a session.
  auto Run(Execution& execution) {
    struct Awaiter {
      Lease& lease;
      Execution& execution;
      bool await_ready() const { return false; }
      bool await_suspend(std::coroutine_handle<> waiter) {
        execution.done = [waiter] { waiter.resume(); };
        return lease.Submit(&execution);
      }
      void await_resume() const {}
    };
    return Awaiter{*this, execution};
  }

  /// The same without a coroutine. False when the pool has stopped: the execution has its status,
  /// and `done` is not called.
  bool Submit(Execution* execution);

 private:
  friend class Copy;

  std::shared_ptr<Lent> lent_;
};

/// A caller's wish for a session. It belongs to the caller, who keeps it alive until `done` was
/// called.
struct Loan {
  /// Until when the caller waits.
  Clock::time_point deadline = Clock::time_point::max();
  /// Set by any thread when nobody waits any more.
  const std::atomic<bool>* cancelled = nullptr;
  /// With whose others it takes turns; null where access is not controlled.
  const Flow* flow = nullptr;
  /// Called once, on the pool's thread, when `status` is there, and if that is OK, `lease`.
  std::function<void()> done;

  absl::Status status;
  Lease lease;
};

}  // namespace twi::sql

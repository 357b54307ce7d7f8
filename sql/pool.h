#pragma once

#include <coroutine>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "sql/activity.h"
#include "sql/conduct.h"
#include "sql/execution.h"
#include "sql/lease.h"
#include "sql/unit.h"
#include "sql/validation.h"

namespace twi::sql {

struct PoolOptions {
  std::string dsn = {};
  absl::Duration connect_timeout = absl::Seconds(10);
  int max_connections = 20;  ///< At least 6.
  /// Opened before the pool is connected, and kept; lanes included. As far as the lanes and two in
  /// reserve leave room below the maximum.
  int min_connections = 5;
  // A second one gave the pool alone a fifth more (tests/bench/lanes), and the whole service on two
  // cores 0.9 times as much.
  int read_lanes = 1;  ///< 1 or 2.
  /// After which a session that nobody wanted is closed, down to the minimum.
  absl::Duration idle = absl::Seconds(300);
  /// Of a connection, less up to a tenth.
  absl::Duration lifetime = absl::Minutes(30);
  /// After which the database ends a transaction in which nothing happens.
  absl::Duration idle_in_transaction = absl::Seconds(30);
  BatchLimits batch = {};
  /// For how long a call may have to wait behind others before it is refused.
  absl::Duration max_wait = absl::Seconds(1);
  /// What takes longer does not share a lane for long.
  absl::Duration slow = absl::FromChrono(Conduct::kSlow);
  /// Called on the pool's thread with what is worth a line in the log.
  std::function<void(std::string_view event, std::string_view detail)> log =
      [](std::string_view, std::string_view) {};
};

/// The pool's state at one moment.
struct PoolNumbers {
  int idle = 0;
  int busy = 0;
  int connecting = 0;
  int waiting = 0;  ///< Executions and loans that wait for a connection.
  int64_t opened = 0;
  // Closed, by reason:
  int64_t closed_idle = 0;
  int64_t closed_lifetime = 0;
  int64_t closed_room = 0;   ///< To make room for a session of the other kind.
  int64_t closed_reset = 0;  ///< Given back inside a transaction, or not to be reset.
  int64_t lost = 0;
};

/// The connections to one database and the thread that drives them: lanes for reads, one for
/// writes, and sessions, for callers and for what must not hold up a lane. A lane's connection that
/// is lost is opened again at once, and then with growing pauses; meanwhile, from the first failure
/// on, executions are refused with UNAVAILABLE, and so are loans when no session is left.
class Pool {
 public:
  explicit Pool(PoolOptions options);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Waits until every lane is connected and the least number of sessions is open, or says why that
  /// failed.
  absl::Status WaitConnected(absl::Duration timeout);

  /// Every lane is connected, and the least number of sessions is open.
  bool connected() const;

  /// `co_await pool.Lend(loan)` returns on the pool's thread when the loan has its status and
  /// lease, or at once when it was refused:
  ///
  ///   DEADLINE_EXCEEDED, CANCELLED   while it waited for a session
  ///   UNAVAILABLE                    the database is down, or the pool has stopped
  ///   RESOURCE_EXHAUSTED             too many wait
  auto Lend(Loan& loan) {
    struct Awaiter {
      Pool& pool;
      Loan& loan;
      bool await_ready() const { return false; }
      bool await_suspend(std::coroutine_handle<> waiter) {
        loan.done = [waiter] { waiter.resume(); };
        return pool.Submit(&loan);
      }
      void await_resume() const {}
    };
    return Awaiter{*this, loan};
  }

  /// Takes an execution or a loan, from any thread; false when it is refused: its status says why.
  bool Submit(Execution* execution);
  bool Submit(Loan* loan);

  PoolNumbers numbers() const;

  /// Asks what each connection is doing, the lanes first. `told` is called once, on the pool's
  /// thread; not when the pool has stopped.
  using Activity = std::vector<ConnectionActivity>;
  void Look(std::function<void(Activity)> told);

  /// Asks every connection that nobody uses for an answer, and opens another one for each that
  /// gives none within `patience`. `done` is called once, on the pool's thread, when that is
  /// through or the pool stops; not when it has stopped.
  void Validate(Clock::duration patience, std::function<void(const Validation&)> done);

  /// Refuses new executions and loans, answers all that wait or run, and closes the connections,
  /// those that are lent, too. Returns when no callback of the pool runs any more.
  void Stop();

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace twi::sql

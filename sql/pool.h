#pragma once

#include <coroutine>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "sql/execution.h"
#include "sql/unit.h"

namespace twi::sql {

struct PoolOptions {
  std::string dsn;
  absl::Duration connect_timeout = absl::Seconds(10);
  int max_connections = 20;  ///< At least 6.
  BatchLimits batch = {};
  /// Called on the pool's thread with what is worth a line in the log.
  std::function<void(std::string_view event, std::string_view detail)> log =
      [](std::string_view, std::string_view) {};
};

/// The pool's state at one moment.
struct PoolNumbers {
  int idle = 0;
  int busy = 0;
  int connecting = 0;
  int waiting = 0;  ///< Executions that wait for a connection.
  int64_t opened = 0;
  int64_t lost = 0;
};

/// The connections to one database and the thread that drives them: a lane for reads, one for
/// writes, and beside each some that run one statement at a time, for what must not hold up a lane.
/// A lane's connection that is lost is opened again at once, and then with growing pauses;
/// meanwhile, from the first failure on, executions are refused with UNAVAILABLE.
class Pool {
 public:
  explicit Pool(PoolOptions options);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Waits until every lane is connected, or says why that failed.
  absl::Status WaitConnected(absl::Duration timeout);

  /// Every lane is connected.
  bool connected() const;

  /// `co_await pool.Run(execution)` returns on the pool's thread when the execution has its status
  /// and rows, or at once when it was refused.
  auto Run(Execution& execution) {
    struct Awaiter {
      Pool& pool;
      Execution& execution;
      bool await_ready() const { return false; }
      bool await_suspend(std::coroutine_handle<> waiter) {
        execution.done = [waiter] { waiter.resume(); };
        return pool.Submit(&execution);
      }
      void await_resume() const {}
    };
    return Awaiter{*this, execution};
  }

  /// Takes an execution, from any thread; false when it is refused: its status says why.
  bool Submit(Execution* execution);

  PoolNumbers numbers() const;

  /// Refuses new executions, answers all that wait, and closes the connections. Returns when no
  /// callback of the pool runs any more.
  void Stop();

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace twi::sql

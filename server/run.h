#pragma once

#include <coroutine>
#include <memory>

#include "absl/status/status.h"
#include "server/call.h"
#include "server/slow_queries.h"
#include "sql/execution.h"
#include "sql/pool.h"

namespace twi::server {

/// One run of a statement for a call. Bind `execution()`, then `co_await` the run, once.
///
/// A call does not outlast its deadline or its client for the statement's sake: then it goes on
/// without the answer, and the statement, which nobody can take out of a batch, ends by itself.
/// What became of it is recorded either way.
class Run {
 public:
  /// `slow` is told of a statement that takes long; it may be null.
  Run(Call& call, sql::Pool& pool, SlowQueries* slow);

  /// What to run; after the wait, its answer, which may be looked at when that was OK.
  sql::Execution& execution();

  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<> waiter);
  /// The execution's status; DEADLINE_EXCEEDED or CANCELLED when the call went on without it.
  absl::Status await_resume() const;

 private:
  struct State;

  Call& call_;
  sql::Pool& pool_;
  std::shared_ptr<State> state_;
};

}  // namespace twi::server

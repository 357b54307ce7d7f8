#include "server/run.h"

#include <atomic>
#include <utility>

#include "server/method.h"
#include "server/record.h"
#include "sql/errors.h"

namespace twi::server {

/// Shared by the call, the pool and the listener to the call's end, which comes from other threads.
struct Run::State {
  /// True for one of the answer and the call's end: the one that resumes the waiter.
  bool Settle() { return !settled.exchange(true, std::memory_order_acq_rel); }

  const Method* method;
  SlowQueries* slow;
  std::shared_ptr<const Trace> trace;
  sql::Clock::time_point submitted{};
  sql::Execution execution{};
  std::atomic<bool> gone{false};
  std::atomic<bool> settled{false};
  std::coroutine_handle<> waiter{};
  /// Set while the pool has the execution.
  std::shared_ptr<State> self{};
};

Run::Run(Call& call, sql::Pool& pool, SlowQueries* slow)
    : call_(call),
      pool_(pool),
      state_(new State{.method = call.method(), .slow = slow, .trace = call.trace()}) {
  state_->execution.deadline = call.deadline();
  state_->execution.cancelled = &state_->gone;
  state_->execution.flow = call.flow();
}

sql::Execution& Run::execution() { return state_->execution; }

bool Run::await_suspend(std::coroutine_handle<> waiter) {
  // This run may be gone as soon as somebody can resume the waiter.
  const std::shared_ptr<State> state = state_;
  sql::Pool& pool = pool_;
  state->waiter = waiter;
  state->submitted = sql::Clock::now();
  state->self = state;
  state->execution.done = [state = state.get()] {
    const std::shared_ptr<State> last = std::move(state->self);
    RecordRun(*last->method, last->execution, last->submitted, last->slow, last->trace.get());
    if (last->Settle()) last->waiter.resume();
  };
  call_.OnCancel([state] {
    state->gone = true;
    if (state->Settle()) state->waiter.resume();
  });
  if (!state->gone && pool.Submit(&state->execution)) return true;
  state->self.reset();
  return !state->Settle();
}

absl::Status Run::await_resume() const {
  // Only the call's end resumes with this set, or came so close before the answer that it counts.
  if (!state_->gone) return state_->execution.status;
  return sql::Clock::now() < state_->execution.deadline ? sql::GaveUp() : sql::TooLate();
}

}  // namespace twi::server

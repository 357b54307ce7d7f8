#pragma once

#include <atomic>
#include <coroutine>
#include <functional>
#include <memory>
#include <utility>

#include "server/call.h"

namespace twi::server {

/// `co_await Wait(call, begin)`: until what `begin` gets is called, by any thread and perhaps at
/// once, or the call ends, whichever comes first.
class Wait {
 public:
  using Done = std::function<void()>;

  Wait(Call& call, std::function<void(Done)> begin) : call_(call), begin_(std::move(begin)) {}

  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<> waiter) {
    const auto state = std::make_shared<State>();
    const Done done = [state, waiter] {
      if (state->exchange(kOver, std::memory_order_acq_rel) == kWaiting) waiter.resume();
    };
    call_.OnCancel(done);
    begin_(done);
    int begun = kBegun;
    return state->compare_exchange_strong(begun, kWaiting, std::memory_order_acq_rel);
  }
  void await_resume() const {}

 private:
  enum : int { kBegun, kWaiting, kOver };
  using State = std::atomic<int>;

  Call& call_;
  const std::function<void(Done)> begin_;
};

}  // namespace twi::server

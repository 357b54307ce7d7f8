#pragma once

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "sql/pool.h"
#include "sql/session.h"

namespace twi::sql {

/// A caller who borrows a session and waits for everything.
class Borrower {
 public:
  explicit Borrower(Pool& pool) : pool_(pool) {}

  /// Asks for a session, and goes on.
  void Ask(Clock::duration timeout = std::chrono::seconds(60)) {
    loan_.deadline = Clock::now() + timeout;
    loan_.done = [this] { lent_.set_value(); };
    if (!pool_.Submit(&loan_)) lent_.set_value();
  }
  /// What became of that.
  absl::Status Wait() {
    lent_.get_future().wait();
    lent_ = {};
    return loan_.status;
  }
  absl::Status Borrow(Clock::duration timeout = std::chrono::seconds(60)) {
    Ask(timeout);
    return Wait();
  }
  void Return() { loan_.lease = Lease(); }

  /// Begins to run a statement without parameters.
  Execution& Begin(const Statement& statement, Clock::duration timeout = std::chrono::seconds(60)) {
    execution_ = Execution();
    execution_.statement = &statement;
    execution_.deadline = Clock::now() + timeout;
    execution_.cancelled = &cancelled_;
    execution_.done = [this] { ran_.set_value(); };
    if (!loan_.lease.Submit(&execution_)) ran_.set_value();
    return execution_;
  }
  Execution& End() {
    ran_.get_future().wait();
    ran_ = {};
    return execution_;
  }
  Execution& Run(const Statement& statement, Clock::duration timeout = std::chrono::seconds(60)) {
    Begin(statement, timeout);
    return End();
  }
  Execution& Run(const std::string& text) {
    text_ = {"", text, false};
    return Run(text_);
  }
  /// The first value of a text column.
  std::string Value(const std::string& text) {
    const Execution& execution = Run(text);
    if (!execution.status.ok()) return execution.status.ToString();
    return std::string(execution.rows.value(0, 0));
  }
  std::string pid() { return Value("select pg_backend_pid()::text"); }

  Loan& loan() { return loan_; }
  std::atomic<bool>& cancelled() { return cancelled_; }

 private:
  Pool& pool_;
  Loan loan_;
  std::promise<void> lent_;
  std::atomic<bool> cancelled_{false};
  Statement text_;
  Execution execution_;
  std::promise<void> ran_;
};

}  // namespace twi::sql

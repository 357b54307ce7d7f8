#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "sql/execution.h"

namespace twi::sql {

/// What became of the idle connections that were asked for an answer.
struct Validation {
  int checked = 0;
  int dead = 0;      ///< Gave none in time, and are closed.
  int replaced = 0;  ///< Connections opened for these.
};

/// A validation under way: each of those who ask and who open holds it, and when the last of them
/// lets go, it is over. On the loop's thread.
class Validating {
 public:
  Validating(Clock::duration patience, std::function<void(const Validation&)> done)
      : patience_(patience), done_(std::move(done)) {}
  ~Validating() { done_(result_); }
  Validating(const Validating&) = delete;
  Validating& operator=(const Validating&) = delete;

  Clock::duration patience() const { return patience_; }
  void Checked(bool alive) {
    ++result_.checked;
    result_.dead += alive ? 0 : 1;
  }
  void Replaced() { ++result_.replaced; }

 private:
  const Clock::duration patience_;
  const std::function<void(const Validation&)> done_;
  Validation result_;
};

}  // namespace twi::sql

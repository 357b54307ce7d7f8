#pragma once

#include <string>
#include <vector>

#include "sql/execution.h"

namespace twi::sql {

/// A statement that runs now.
struct RunningStatement {
  std::string operation;    ///< `QuotesService/GetQuote`; "" for a caller's own SQL.
  std::string fingerprint;  ///< Of that.
  int callers = 1;          ///< Whom it answers.
};

/// What one connection of the pool does at one moment.
struct ConnectionActivity {
  enum class Kind { kReadLane, kWriteLane, kReadSession, kSession };
  enum class State {
    kClosed,   ///< A lane that is to be connected again.
    kIdle,     ///< Nobody uses it.
    kRunning,  ///< It runs `statements`, none of which is what undoes what a caller left behind.
    kLent,     ///< A caller has it and runs nothing.
  };
  Kind kind;
  State state = State::kIdle;
  Clock::duration lasts{};  ///< For how long it runs this, or is lent.
  int waiting = 0;          ///< Of a lane: those who wait for its next batch.
  std::vector<RunningStatement> statements = {};
};

}  // namespace twi::sql

#pragma once

#include <chrono>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "sql/execution.h"

namespace twi::sql {

/// How statements have behaved, which decides whether they travel in batches or alone. On the
/// loop's thread.
class Conduct {
 public:
  /// A batch that takes longer has a slow member, and a statement that does is one.
  static constexpr std::chrono::milliseconds kSlow{5};
  /// Runs in a row that must go well before a statement that failed a batch shares one again.
  static constexpr int kProbation = 100;

  /// Whether the next run must not share a batch. A suspect's next run is alone, once.
  bool TravelsAlone(const Statement* statement) {
    const auto found = marks_.find(statement);
    if (found == marks_.end()) return false;
    Marks& marks = found->second;
    if (std::exchange(marks.suspect, false)) return true;
    return marks.slow || marks.probation > 0;
  }

  /// It was in a batch that took long.
  void Suspect(const Statement* statement) { marks_[statement].suspect = true; }

  /// It failed a batch.
  void Failed(const Statement* statement) { marks_[statement].probation = kProbation; }

  /// It ran alone, so the time is its own.
  void RanAlone(const Statement* statement, bool ok, Clock::duration time) {
    const auto found = marks_.find(statement);
    if (found == marks_.end() && time <= kSlow) return;
    Marks& marks = marks_[statement];
    marks.slow = time > kSlow;
    if (marks.probation > 0) marks.probation = ok ? marks.probation - 1 : kProbation;
  }

 private:
  struct Marks {
    bool suspect = false;
    bool slow = false;
    int probation = 0;
  };
  absl::flat_hash_map<const Statement*, Marks> marks_;
};

}  // namespace twi::sql

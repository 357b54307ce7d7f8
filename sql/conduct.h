#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "sql/execution.h"

namespace twi::sql {

/// How statements have behaved, which decides whether they travel in batches or alone. On the
/// loop's thread.
class Conduct {
 public:
  static constexpr std::chrono::milliseconds kSlow{5};
  /// What a failure weighs in good runs. A statement of which more than about one in so many runs
  /// fails would undo more in batches than it gains there.
  static constexpr int kFailure = 16;
  /// Above this it travels alone: at the third failure in a short time. One in a hundred hardly
  /// ever comes here, and one that always fails at once.
  static constexpr int kTolerance = 2 * kFailure;
  /// As bad as it gets: 68 good runs in a row make up for everything.
  static constexpr int kWorst = 100;
  /// What takes so many times as long as what is slow is cut off in a lane, and goes on alone.
  static constexpr int kCutOff = 20;
  /// Among which a run that took long is forgotten by and by.
  static constexpr int kRunsOfMean = 16;

  /// A batch that takes longer than `slow` has a slow member, and a statement that does is one.
  explicit Conduct(Clock::duration slow = kSlow) : slow_(slow) {}

  Clock::duration slow() const { return slow_; }
  /// How long a statement may take in a lane; zero: as long as it wants.
  absl::Duration cut_off() const {
    if (slow_ == Clock::duration::max()) return absl::ZeroDuration();
    return absl::FromChrono(slow_ * kCutOff);
  }

  /// Whether the next run must not share a batch. A suspect's next run is alone, once, and a costly
  /// statement's runs until the first has told its time.
  bool TravelsAlone(const Statement* statement) {
    const auto found = marks_.find(statement);
    if (found == marks_.end()) return statement->costly;
    Marks& marks = found->second;
    if (std::exchange(marks.suspect, false)) return true;
    return marks.time > slow_ || marks.failures > kTolerance;
  }

  /// It was in a batch that took long.
  void Suspect(const Statement* statement) { marks_[statement].suspect = true; }

  /// It was cut off after so long, shared out among its callers.
  void WasCutOff(const Statement* statement, Clock::duration after) {
    Clock::duration& time = marks_[statement].time;
    time = std::max(time, after);
  }

  /// It failed, by nobody's fault but its own.
  void Failed(const Statement* statement) {
    int& failures = marks_[statement].failures;
    failures = std::min(failures + kFailure, kWorst);
  }

  /// It ran for several callers who had a batch to themselves, and this was each one's share of the
  /// time. Runs alone may be slow for no other reason than that many are under way.
  void RanTogether(const Statement* statement, int callers, Clock::duration each) {
    const auto found = marks_.find(statement);
    if (found == marks_.end()) return;
    Clock::duration& time = found->second.time;
    for (int i = 0; i < callers && time > each; ++i) time += (each - time) / kRunsOfMean;
  }

  /// It went well, for so many callers.
  void WentWell(const Statement* statement, int callers) {
    const auto found = marks_.find(statement);
    if (found == marks_.end()) return;
    found->second.failures = std::max(found->second.failures - callers, 0);
  }

  /// It ran alone, so the time is its own. The mean of the last runs counts, so that one that is
  /// quick now and then stays known as slow.
  void RanAlone(const Statement* statement, bool ok, Clock::duration time) {
    if (ok && time <= slow_ && !statement->costly && !marks_.contains(statement)) return;
    Marks& marks = marks_[statement];
    const bool first = marks.time == Clock::duration::zero();
    marks.time = first ? time : marks.time + (time - marks.time) / kRunsOfMean;
    if (ok) {
      WentWell(statement, 1);
    } else {
      Failed(statement);
    }
  }

 private:
  struct Marks {
    bool suspect = false;
    Clock::duration time{};  ///< The mean of its runs alone.
    int failures = 0;        ///< kFailure each, less one for each good run since.
  };

  const Clock::duration slow_;
  absl::flat_hash_map<const Statement*, Marks> marks_;
};

}  // namespace twi::sql

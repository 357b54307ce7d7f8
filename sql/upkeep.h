#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sql/embedded_text.h"
#include "sql/migrate.h"
#include "sql/optimization.h"

namespace twi::sql {

/// What became of a step.
enum class StepOutcome {
  kMade,       ///< It was missing.
  kReplaced,   ///< It was there, and another.
  kThere,      ///< Nothing was to be done.
  kServed,     ///< Another index does the same: `detail` is its name.
  kRefreshed,  ///< A view was computed anew.
  kRolled,     ///< An index of recent rows begins later.
  kRebuilt,    ///< An index that was bloated or half made was made anew.
  kDropped,    ///< What an interrupted run had left.
  kAnalyzed,   ///< A table's statistics were renewed.
  kFailed,     ///< `detail` says why, in the database's words.
};

struct UpkeepStep {
  std::string name;
  StepOutcome outcome = StepOutcome::kThere;
  std::string detail;
  absl::Duration duration;
  /// Of a view: who reads it went on meanwhile.
  bool concurrently = false;
};

/// Makes and keeps what speeds a database up beyond what its migrations make: indexes, materialized
/// views, functions, settings.
///
/// Each step stands on its own: one that fails is reported and leaves nothing that the next run
/// does not mend, and the others are done all the same. Nothing blocks who writes to a table.
/// Every function connects anew. Optimize and Maintain take turns with one another, in whatever
/// process, and with migrations, by advisory locks.
///
/// Errors: UNAVAILABLE when the database cannot be reached or goes away; FAILED_PRECONDITION when
/// it lacks migrations, is newer than this program, or refused a step; INVALID_ARGUMENT for a set
/// that does not exist; CANCELLED when the observer had it stopped.
class Upkeep {
 public:
  struct Observer {
    /// After each step.
    std::function<void(const UpkeepStep&)> step = {};
    /// When another process works on the database, before waiting for it.
    std::function<void()> waiting = {};
    /// Before each step that may take long.
    std::function<void(const std::string& name)> begun = {};
    /// Whether to do no further step. It is asked before each, and while another process is waited
    /// for.
    std::function<bool()> stopped = {};
    /// Once connected: the database's process that works for us.
    std::function<void(int pid)> connected = {};
    /// Tell of indexes that Maintain finds in order, too.
    bool all = false;
  };

  /// INTERNAL when a text is not what Optimization or Migration says.
  static absl::StatusOr<Upkeep> Load(const std::string& dsn, Observer observer,
                                     const std::vector<EmbeddedText>& sets = kOptimizations,
                                     const std::vector<EmbeddedText>& migrations = kMigrations);

  /// Cancels what another thread's call runs: the process that its observer was told of. The step
  /// fails, and leaves nothing half made.
  static absl::Status Interrupt(const std::string& dsn, int pid);

  /// Does all steps of the set `base` or `additional`. Running it again finds nothing to do.
  absl::Status Optimize(std::string_view set) const;

  /// The names of the materialized views of all sets.
  std::vector<std::string> Views() const;
  /// Computes them anew, beside their readers; or some of them, in that order. REQUIRES: those are
  /// among Views().
  absl::Status RefreshViews() const;
  absl::Status RefreshViews(const std::vector<std::string>& views) const;

  /// Drops what interrupted runs left, lets indexes of recent rows begin later, analyzes tables
  /// whose statistics are stale, and makes bloated indexes anew. What it finds in order it does not
  /// report unless the observer wants it. `dry_run`: it changes nothing, and reports what it would.
  absl::Status Maintain(bool dry_run = false) const;

 private:
  struct Set {
    std::string name;
    std::vector<Optimization> steps;
  };

  Upkeep(std::string dsn, Observer observer, std::vector<Set> sets, Migrations migrations)
      : dsn_(std::move(dsn)),
        observer_(std::move(observer)),
        sets_(std::move(sets)),
        migrations_(std::move(migrations)) {}

  /// Whether the database has all migrations.
  absl::Status CheckMigrated() const;
  std::vector<const Optimization*> StepsOf(Optimization::Kind kind) const;

  std::string dsn_;
  Observer observer_;
  std::vector<Set> sets_;
  Migrations migrations_;
};

}  // namespace twi::sql

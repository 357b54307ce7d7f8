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
/// that does not exist.
class Upkeep {
 public:
  struct Observer {
    /// After each step.
    std::function<void(const UpkeepStep&)> step;
    /// When another process works on the database, before waiting for it.
    std::function<void()> waiting;
  };

  /// INTERNAL when a text is not what Optimization or Migration says.
  static absl::StatusOr<Upkeep> Load(const std::string& dsn, Observer observer,
                                     const std::vector<EmbeddedText>& sets = kOptimizations,
                                     const std::vector<EmbeddedText>& migrations = kMigrations);

  /// Does all steps of the set `base` or `additional`. Running it again finds nothing to do.
  absl::Status Optimize(std::string_view set) const;

  /// Computes the materialized views of all sets anew, beside their readers.
  absl::Status RefreshViews() const;

  /// Drops what interrupted runs left, lets indexes of recent rows begin later, analyzes tables
  /// whose statistics are stale, and makes bloated indexes anew. What it finds in order it does not
  /// report.
  absl::Status Maintain() const;

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

#include "sql/upkeep.h"

#include <algorithm>
#include <pqxx/pqxx>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "sql/blocking.h"
#include "sql/maintenance.h"
#include "sql/text.h"
#include "sql/workshop.h"

namespace twi::sql {
namespace {

using Kind = Optimization::Kind;

absl::Status Stopped() { return absl::CancelledError("stopped before the next step"); }

/// Runs steps one by one and counts those that fail.
class Steps {
 public:
  explicit Steps(const Upkeep::Observer& observer) : observer_(observer) {}

  /// `body` gives a Workshop::Result. What it throws is the step's failure, unless the database is
  /// gone: then it goes on to our caller. `quiet`: what was in order is not reported.
  template <typename Body>
  void Do(const std::string& name, Body body, bool quiet = false) {
    stopped_ = stopped_ || (observer_.stopped && observer_.stopped());
    if (stopped_) return;
    if (!quiet && observer_.begun) observer_.begun(name);
    const absl::Time start = absl::Now();
    Workshop::Result result;
    try {
      result = body();
    } catch (const std::exception& error) {
      const absl::Status status = ToStatus(error);
      if (absl::IsUnavailable(status)) throw;
      result = {StepOutcome::kFailed, std::string(status.message())};
      ++failed_;
    }
    if (quiet && result.outcome == StepOutcome::kThere && !observer_.all) return;
    if (observer_.step) {
      observer_.step(
          {name, result.outcome, result.detail, absl::Now() - start, result.concurrently});
    }
  }

  absl::Status status() const {
    if (stopped_) return Stopped();
    if (failed_ == 0) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat(failed_, failed_ == 1 ? " step" : " steps", " failed"));
  }

 private:
  const Upkeep::Observer& observer_;
  bool stopped_ = false;
  int failed_ = 0;
};

/// Waits until nobody else makes indexes here, nor changes the schema. Migrations may not come
/// between: they would wait for an index that is being made, and that for them. False when it was
/// stopped meanwhile.
bool TakeTurn(Workshop& workshop, const Upkeep::Observer& observer) {
  return workshop.connection().Lock(AdvisoryLock::kUpkeep, false, observer.waiting,
                                    observer.stopped) &&
         workshop.connection().Lock(AdvisoryLock::kMigrations, true, observer.waiting,
                                    observer.stopped);
}

/// Tells which of the database's processes works for us.
void Tell(Workshop& workshop, const Upkeep::Observer& observer) {
  if (observer.connected) observer.connected(workshop.connection().backendpid());
}

}  // namespace

absl::StatusOr<Upkeep> Upkeep::Load(const std::string& dsn, Observer observer,
                                    const std::vector<EmbeddedText>& sets,
                                    const std::vector<EmbeddedText>& migrations) {
  absl::StatusOr<Migrations> history = Migrations::Load(dsn, migrations);
  if (!history.ok()) return history.status();
  std::vector<Set> read;
  for (const EmbeddedText& text : sets) {
    absl::StatusOr<std::vector<Optimization>> steps = ReadOptimizations(text);
    if (!steps.ok()) return steps.status();
    read.push_back({std::string(absl::StripSuffix(ToAbsl(text.name), ".sql")), *std::move(steps)});
  }
  return Upkeep(dsn, std::move(observer), std::move(read), *std::move(history));
}

absl::Status Upkeep::Interrupt(const std::string& dsn, int pid) {
  return Guarded([&] {
    BlockingConnection connection(dsn);
    pqxx::nontransaction(connection).exec_params("select pg_cancel_backend($1)", pid);
    return absl::OkStatus();
  });
}

absl::Status Upkeep::CheckMigrated() const {
  const absl::StatusOr<int> pending = migrations_.Pending();
  if (!pending.ok()) return pending.status();
  if (*pending == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the schema lacks ", *pending,
                                                    *pending == 1 ? " migration" : " migrations",
                                                    ": run `twi-data migrate up`"));
}

std::vector<const Optimization*> Upkeep::StepsOf(Kind kind) const {
  std::vector<const Optimization*> steps;
  for (const Set& set : sets_) {
    for (const Optimization& step : set.steps) {
      if (step.kind == kind) steps.push_back(&step);
    }
  }
  return steps;
}

absl::Status Upkeep::Optimize(std::string_view set) const {
  const auto found = std::find_if(sets_.begin(), sets_.end(),
                                  [&](const Set& candidate) { return candidate.name == set; });
  if (found == sets_.end()) {
    return absl::InvalidArgumentError(absl::StrCat("there is no set `", ToAbsl(set), "`"));
  }
  return Guarded([&] {
    Workshop workshop(dsn_);
    Tell(workshop, observer_);
    if (!TakeTurn(workshop, observer_)) return Stopped();
    if (absl::Status status = CheckMigrated(); !status.ok()) return status;
    workshop.Survey();
    Steps steps(observer_);
    for (const Optimization& step : found->steps) {
      steps.Do(step.name, [&] { return workshop.Apply(step); });
    }
    return steps.status();
  });
}

std::vector<std::string> Upkeep::Views() const {
  std::vector<std::string> views;
  for (const Optimization* view : StepsOf(Kind::kView)) views.push_back(view->name);
  return views;
}

absl::Status Upkeep::RefreshViews() const { return RefreshViews(Views()); }

absl::Status Upkeep::RefreshViews(const std::vector<std::string>& views) const {
  return Guarded([&] {
    Workshop workshop(dsn_);
    Tell(workshop, observer_);
    if (absl::Status status = CheckMigrated(); !status.ok()) return status;
    Steps steps(observer_);
    for (const std::string& view : views) {
      steps.Do(view, [&] { return RefreshView(workshop, view); });
    }
    return steps.status();
  });
}

absl::Status Upkeep::Maintain(bool dry_run) const {
  return Guarded([&] {
    Workshop workshop(dsn_);
    Tell(workshop, observer_);
    if (!TakeTurn(workshop, observer_)) return Stopped();
    if (absl::Status status = CheckMigrated(); !status.ok()) return status;
    Steps steps(observer_);
    for (const Optimization* index : StepsOf(Kind::kIndex)) {
      if (index->recent_days == 0) continue;
      steps.Do(
          index->name, [&] { return workshop.Roll(*index, dry_run); }, true);
    }
    for (const std::string& index : InvalidIndexes(workshop)) {
      steps.Do(index, [&] { return Mend(workshop, index, dry_run); });
    }
    for (const std::string& table : StaleTables(workshop)) {
      steps.Do(table, [&] { return Analyze(workshop, table, dry_run); });
    }
    for (const Optimization* function : StepsOf(Kind::kFunction)) {
      if (function->name != kBloatFunction) continue;
      for (const IndexSize& index : IndexSizes(workshop, *function)) {
        steps.Do(
            index.name, [&] { return Rebuild(workshop, index, dry_run); }, !index.bloated);
      }
    }
    return steps.status();
  });
}

}  // namespace twi::sql

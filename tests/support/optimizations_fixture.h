#pragma once

#include <gtest/gtest.h>

#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "sql/migrate.h"
#include "sql/upkeep.h"
#include "tests/support/bot.h"
#include "tests/support/database.h"

namespace twi::sql {

/// A database with our schema, and our sets of optimizations.
class OptimizationsFixture : public ::testing::Test {
 protected:
  OptimizationsFixture() : OptimizationsFixture(std::vector<std::string>()) {}
  /// In a database that scripts of the bot have made.
  explicit OptimizationsFixture(const std::vector<std::string>& scripts) {
    testing::MakeBots(database_, scripts);
    EXPECT_TRUE(Load().Up({}).ok());
  }

  Migrations Load() const {
    auto migrations = Migrations::Load(database_.dsn());
    EXPECT_TRUE(migrations.ok()) << migrations.status();
    return *std::move(migrations);
  }
  Upkeep Keep() {
    auto upkeep = Upkeep::Load(
        database_.dsn(),
        {.step = [this](const UpkeepStep& step) { steps_.push_back(step); }, .waiting = {}});
    EXPECT_TRUE(upkeep.ok()) << upkeep.status();
    return *std::move(upkeep);
  }
  /// Does both sets; the steps that were done.
  std::vector<UpkeepStep> Optimize() {
    steps_.clear();
    const Upkeep upkeep = Keep();
    for (const char* set : {"base", "additional"}) {
      const absl::Status status = upkeep.Optimize(set);
      EXPECT_TRUE(status.ok()) << status;
    }
    return std::move(steps_);
  }
  std::vector<std::string> Maintain() {
    steps_.clear();
    EXPECT_TRUE(Keep().Maintain().ok());
    std::vector<std::string> rebuilt;
    for (const UpkeepStep& step : steps_) {
      if (step.outcome == StepOutcome::kRebuilt) rebuilt.push_back(step.name);
    }
    return rebuilt;
  }
  /// All that `migrate check` would tell.
  std::vector<std::string> Check() {
    SchemaCheck check = Load().Check().value();
    EXPECT_EQ(check.draft.empty(), check.differences.empty());
    std::move(check.foreign.begin(), check.foreign.end(), std::back_inserter(check.differences));
    return check.differences;
  }

  testing::Database database_;
  std::vector<UpkeepStep> steps_;
};

}  // namespace twi::sql

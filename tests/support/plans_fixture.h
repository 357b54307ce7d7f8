#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proto/descriptor_names.h"
#include "repositories/catalog.h"
#include "sql/migrate.h"
#include "tests/support/database.h"

namespace twi::testing {

/// How much of a migrated database's tables the statements touch.
class PlansTest : public ::testing::Test {
 protected:
  /// `tables` are statements that fill them; vacuum, which wants to be alone, may be among them.
  explicit PlansTest(const char* tables) {
    auto migrations = sql::Migrations::Load(database_.dsn());
    EXPECT_TRUE(migrations->Up([](const sql::MigrationStep&) {}).ok());
    auto loaded = repositories::Catalog::Load(database_.dsn(), kRepositories, DataServices());
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    catalog_ = std::move(loaded->catalog);
    for (absl::string_view statement : absl::StrSplit(tables, ';')) {
      database_.Run(std::string(statement));
    }
  }

  const repositories::Operation& Find(const std::string& method) const {
    for (const auto& operation : catalog_->operations()) {
      if (operation->method()->name() == method) return *operation;
    }
    ADD_FAILURE() << "no " << method;
    std::abort();
  }

  /// Pages of tables and indexes that a statement touches, planned once for all arguments (SQL).
  /// Those of its common table expressions may count twice.
  int Pages(const std::string& text, const std::string& arguments) const {
    const std::string execute =
        arguments.empty() ? "execute p" : absl::StrCat("execute p (", arguments, ")");
    const auto told = nlohmann::json::parse(
        database_.Value(absl::StrCat("set plan_cache_mode = force_generic_plan; prepare p as ",
                                     text, "; explain (analyze, buffers, format json) ", execute)));
    const auto pages = [](const nlohmann::json& plan) {
      return plan.at("Shared Hit Blocks").get<int>() + plan.at("Shared Read Blocks").get<int>();
    };
    const nlohmann::json& root = told.at(0).at("Plan");
    int sum = pages(root);
    // Writes that nothing reads run after the plan's end.
    for (const nlohmann::json& child : root.value("Plans", nlohmann::json::array())) {
      if (child.at("Parent Relationship") == "InitPlan") sum += pages(child);
    }
    return sum;
  }

  Database database_;
  std::unique_ptr<repositories::Catalog> catalog_;
};

}  // namespace twi::testing

#pragma once

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sql/upkeep.h"
#include "tests/support/database.h"

namespace twi::sql {

inline const std::vector<EmbeddedText> kPeople = {{"0001_people.sql", R"(-- up
create table people (id bigint primary key, name text, town text, born timestamp, gone bool);
create index people_town on people (town, born);
-- down
drop table people;
)"}};

inline const EmbeddedText kSet = {"some.sql", R"(
-- step: by_name
create index by_name on people (name);

-- step: by_town
create index by_town on people (town desc);

-- step: lately
-- recent: 30 days
create index lately on people (born) where born >= :cutoff;

-- step: vacuum
alter table people set (autovacuum_vacuum_scale_factor = 0.05);

-- step: towns
create materialized view towns as
select town, count(*) as people, now() as as_of from people group by town with no data;
create unique index towns_key on towns (town);

-- step: everybody
create function everybody() returns bigint language sql as $$ select count(*) from people $$;
)"};

/// A database that has nothing to do with our schema, and the sets and migrations of a test.
class UpkeepTest : public ::testing::Test {
 protected:
  UpkeepTest() {
    database_.Run(
        "create function wait_until(condition text) returns void language plpgsql as $$"
        " declare met boolean;"
        " begin loop execute condition into met; exit when met; perform pg_sleep(0.01);"
        " perform pg_stat_clear_snapshot(); end loop; end $$");
  }

  void Migrate() {
    auto migrations = Migrations::Load(database_.dsn(), kPeople);
    ASSERT_TRUE(migrations.ok()) << migrations.status();
    ASSERT_TRUE(migrations->Up({}).ok());
  }

  Upkeep Load(const std::vector<EmbeddedText>& sets = {kSet}) {
    auto upkeep = Upkeep::Load(database_.dsn(),
                               {.step =
                                    [this](const UpkeepStep& step) {
                                      std::lock_guard lock(mutex_);
                                      steps_.push_back(step);
                                    },
                                .waiting =
                                    [this] {
                                      std::lock_guard lock(mutex_);
                                      ++waiting_;
                                    }},
                               sets, kPeople);
    EXPECT_TRUE(upkeep.ok()) << upkeep.status();
    return *std::move(upkeep);
  }

  /// The steps reported since the last call, `name: what became of it`.
  std::vector<std::string> Steps() {
    constexpr const char* kWords[] = {"made",   "replaced", "there",   "served",   "refreshed",
                                      "rolled", "rebuilt",  "dropped", "analyzed", "failed"};
    std::lock_guard lock(mutex_);
    std::vector<std::string> steps;
    for (const UpkeepStep& step : steps_) {
      steps.push_back(absl::StrCat(step.name, ": ", kWords[static_cast<int>(step.outcome)]));
    }
    steps_.clear();
    return steps;
  }

  /// The steps of an Optimize from which those that were in order are left out.
  std::vector<std::string> Optimize(const std::vector<EmbeddedText>& sets = {kSet}) {
    Steps();
    const absl::Status status = Load(sets).Optimize("some");
    EXPECT_TRUE(status.ok()) << status;
    std::vector<std::string> steps = Steps();
    std::erase_if(steps, [](const std::string& step) {
      return step.ends_with(": there") || step.ends_with(": served");
    });
    return steps;
  }

  std::vector<std::string> Maintain() {
    Steps();
    const absl::Status status = Load().Maintain();
    EXPECT_TRUE(status.ok()) << status;
    std::vector<std::string> steps = Steps();
    std::erase_if(steps, [](const std::string& step) { return step.ends_with(": analyzed"); });
    return steps;
  }

  /// Waits until a query says true.
  void Until(const std::string& condition) {
    database_.Run(absl::StrCat("select wait_until($condition$", condition, "$condition$)"));
  }
  std::string Definition(const std::string& index) {
    return database_.Value(absl::StrCat("select coalesce(max(indexdef), '') from pg_indexes",
                                        " where indexname = '", index, "'"));
  }
  std::string Leftovers() {
    return database_.Value(
        "select count(*) from pg_index where not indisvalid and indrelid > 16384"
        " or indexrelid::regclass::text like '%\\_next'");
  }

  testing::Database database_;
  std::mutex mutex_;
  std::vector<UpkeepStep> steps_;
  int waiting_ = 0;
};

}  // namespace twi::sql

// Upkeep while others read, write, migrate, or do the same; and what becomes of it when it is cut
// short.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <pqxx/pqxx>
#include <thread>

#include "tests/support/upkeep_fixture.h"

namespace twi::sql {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// An open transaction of somebody else, which has written to a table.
class Writer {
 public:
  Writer(const testing::Database& database, const std::string& sql)
      : connection_(database.dsn()), work_(connection_) {
    work_.exec(sql);
  }
  void Commit() { work_.commit(); }

 private:
  pqxx::connection connection_;
  pqxx::work work_;
};

class UpkeepBesideOthersTest : public UpkeepTest {
 protected:
  /// Until somebody waits for another one's lock or transaction.
  void UntilOneWaits() {
    Until(
        "select exists (select from pg_stat_activity where datname = current_database()"
        " and wait_event_type = 'Lock')");
  }
  /// Has `upkeep` wait for a transaction that has written, and writes meanwhile as a caller does,
  /// who does not wait for long.
  void WriteBeside(const std::function<absl::Status(const Upkeep&)>& upkeep) {
    Writer before(database_, "insert into people (id) values (1)");
    auto status = std::async(std::launch::async, [&] { return upkeep(Load()); });
    UntilOneWaits();
    database_.Run(
        "set lock_timeout = '5s'; insert into people (id, born) values (2, now());"
        " update people set name = 'again' where id = 2");
    before.Commit();
    EXPECT_TRUE(status.get().ok());
  }
};

TEST_F(UpkeepBesideOthersTest, WritersDoNotWaitForOptimize) {
  Migrate();
  WriteBeside([](const Upkeep& upkeep) { return upkeep.Optimize("some"); });
  EXPECT_THAT(Steps(), Contains("by_name: made"));
}

TEST_F(UpkeepBesideOthersTest, WritersDoNotWaitForRecentRows) {
  Migrate();
  Optimize();
  database_.Run(
      "drop index lately; create index lately on people (born) where born >= timestamp "
      "'2001-01-01'");
  WriteBeside([](const Upkeep& upkeep) { return upkeep.Maintain(); });
  EXPECT_THAT(Steps(), Contains("lately: rolled"));
}

TEST_F(UpkeepBesideOthersTest, WritersDoNotWaitForARebuild) {
  Migrate();
  Optimize();
  database_.Run("update pg_index set indisvalid = false where indexrelid = 'by_name'::regclass");
  WriteBeside([](const Upkeep& upkeep) { return upkeep.Maintain(); });
  EXPECT_THAT(Steps(), Contains("by_name: rebuilt"));
}

TEST_F(UpkeepBesideOthersTest, HalfAnIndexIsMadeWhole) {
  Migrate();
  Writer writer(database_, "insert into people (id) values (1)");
  auto optimize = std::async(std::launch::async, [this] { return Load().Optimize("some"); });
  UntilOneWaits();
  // As when the machine with the database fails: nobody tidies up.
  database_.Run(
      "select pg_terminate_backend(pid, 60000) from pg_stat_progress_create_index"
      " where datname = current_database()");
  EXPECT_EQ(optimize.get().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Leftovers(), "1");
  writer.Commit();
  EXPECT_THAT(Optimize(), Contains("by_name: rebuilt"));
  EXPECT_EQ(Leftovers(), "0");
  EXPECT_THAT(Optimize(), IsEmpty());
}

TEST_F(UpkeepBesideOthersTest, AStepThatIsCancelledLeavesNothing) {
  Migrate();
  Writer writer(database_, "insert into people (id) values (1)");
  auto optimize = std::async(std::launch::async, [this] { return Load().Optimize("some"); });
  UntilOneWaits();
  database_.Run(
      "select pg_cancel_backend(pid) from pg_stat_progress_create_index"
      " where datname = current_database()");
  // It drops what there is of the index, which waits for the writer too.
  Until(
      "select exists (select from pg_stat_activity where datname = current_database()"
      " and query like 'drop index%' and wait_event_type = 'Lock')");
  writer.Commit();
  EXPECT_EQ(optimize.get().message(), "1 step failed");
  EXPECT_THAT(Steps(), Contains("by_name: failed"));
  EXPECT_EQ(Leftovers(), "0");
  EXPECT_THAT(Optimize(), ElementsAre("by_name: made"));
}

TEST_F(UpkeepBesideOthersTest, TwoAtOnceDoEachStepOnce) {
  Migrate();
  Writer writer(database_, "insert into people (id) values (1)");
  auto one = std::async(std::launch::async, [this] { return Load().Optimize("some"); });
  UntilOneWaits();
  // It may have waited for the locks of the migration, whose process takes a moment to end.
  {
    std::lock_guard lock(mutex_);
    waiting_ = 0;
  }
  auto two = std::async(std::launch::async, [this] { return Load().Optimize("some"); });
  const auto waits = [this] {
    std::lock_guard lock(mutex_);
    return waiting_ > 0;
  };
  while (!waits()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  writer.Commit();
  EXPECT_TRUE(one.get().ok());
  EXPECT_TRUE(two.get().ok());
  EXPECT_EQ(waiting_, 1);
  std::vector<std::string> steps = Steps();
  EXPECT_EQ(std::count(steps.begin(), steps.end(), "by_name: made"), 1);
  EXPECT_EQ(std::count(steps.begin(), steps.end(), "by_name: there"), 1);
  EXPECT_EQ(std::count(steps.begin(), steps.end(), "towns: made"), 1);
}

TEST_F(UpkeepBesideOthersTest, AMigrationWaitsWithoutBeingWaitedFor) {
  Migrate();
  auto writer = std::make_unique<Writer>(database_, "insert into people (id) values (1)");
  auto optimize = std::async(std::launch::async, [this] { return Load().Optimize("some"); });
  UntilOneWaits();
  // A server of a newer version starts.
  std::vector<EmbeddedText> texts = kPeople;
  texts.push_back(
      {"0002_hats.sql",
       "-- up\nalter table people add hat text;\n-- down\nalter table people drop hat;\n"});
  auto migrations = Migrations::Load(database_.dsn(), texts);
  ASSERT_TRUE(migrations.ok());
  auto up = std::async(std::launch::async, [&] { return migrations->Up({}); });
  // One of this version does not wait.
  auto same = Migrations::Load(database_.dsn(), kPeople);
  EXPECT_TRUE(same->Up({}).ok());
  Until(
      "select exists (select from pg_stat_activity where datname = current_database()"
      " and query like '%pg_try_advisory_lock(%' and state = 'idle')");
  EXPECT_EQ(up.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  writer->Commit();
  writer.reset();
  const absl::Status status = optimize.get();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_TRUE(up.get().ok());
  EXPECT_EQ(database_.Value("select count(hat) from people"), "0");
}

TEST_F(UpkeepBesideOthersTest, ViewsAreRefreshedBesideTheirReaders) {
  Migrate();
  Optimize();
  database_.Run("insert into people (id, town) values (1, 'Liscor'), (2, 'Liscor'), (3, null)");
  // Whoever refreshes otherwise waits for this one.
  Writer reader(database_, "select * from towns");
  ASSERT_TRUE(Load().RefreshViews().ok());
  EXPECT_THAT(Steps(), ElementsAre("towns: refreshed"));
  EXPECT_EQ(database_.Value("select people from towns where town = 'Liscor'"), "2");
  EXPECT_EQ(database_.Value("select now() - min(as_of) < interval '1 hour' from towns"), "t");
}

}  // namespace
}  // namespace twi::sql

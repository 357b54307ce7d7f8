// The service with a cache that hears which tables have changed and not which rows, to measure what
// knowing the rows is worth. On the database of a service with a cache. Prints `ready HOST:PORT`.

#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <memory>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/synchronization/mutex.h"
#include "proto/descriptor_names.h"
#include "repositories/catalog.h"
#include "server/caching.h"
#include "server/metrics.h"
#include "server/pipeline.h"
#include "server/server.h"
#include "sql/follower.h"
#include "sql/pool.h"

ABSL_FLAG(std::string, dsn, "", "the database");

namespace twi::bench {
namespace {

/// Tells of each table that was changed that any of its rows may have been.
class TablesOnly : public sql::ChangeSource, private sql::ChangeListener {
 public:
  TablesOnly(const std::string& dsn, sql::ChangeListener* to)
      : to_(to), source_({.dsn = dsn}, this) {}
  void Freshen() override { source_.Freshen(); }

 private:
  void OnOpen(uint64_t first, sql::ChangesFrom from) override { to_->OnOpen(first, from); }
  void OnCommit(const sql::Changes& changes) override {
    sql::Changes all = changes;
    for (auto& [table, of_table] : all.tables) of_table.AddAll();
    to_->OnCommit(all);
  }
  void OnSchemaChange() override { to_->OnSchemaChange(); }
  void OnCurrent(sql::BootClock::time_point as_of, uint64_t position) override {
    to_->OnCurrent(as_of, position);
  }
  void OnTick(uint64_t position) override { to_->OnTick(position); }
  void OnClosed() override { to_->OnClosed(); }

  sql::ChangeListener* const to_;
  sql::Follower source_;
};

template <typename T>
T OrExit(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::cerr << value.status() << std::endl;
    std::_Exit(1);
  }
  return *std::move(value);
}

int Main() {
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // ends with whoever started it
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  const std::string dsn = absl::GetFlag(FLAGS_dsn);
  const auto loaded = OrExit(repositories::Catalog::Load(dsn, kRepositories, DataServices()));
  if (loaded.catalog == nullptr) return 1;
  server::Metrics metrics({"bench", "bench", ""});
  sql::Pool pool({.dsn = dsn});
  if (!pool.WaitConnected(absl::Seconds(30)).ok()) return 1;
  server::Caching caching({.dsn = dsn,
                           .source =
                               [&](sql::ChangeListener* listener) {
                                 return std::make_unique<TablesOnly>(dsn, listener);
                               }},
                          *loaded.catalog);
  caching.Follow();
  server::Pipeline pipeline({}, loaded.catalog.get(), &pool, &caching, nullptr, {}, &metrics);
  const auto server = OrExit(server::Server::Start("127.0.0.1:0", 1, &pipeline));
  std::cout << "ready " << server->address() << std::endl;
  for (;;) pause();
}

}  // namespace
}  // namespace twi::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Serves with a cache that goes by tables only.");
  absl::ParseCommandLine(argc, argv);
  return twi::bench::Main();
}

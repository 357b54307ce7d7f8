// Looks for answers that are older than they may be, or newer than can be, while everybody writes.
// See README.md.

#include <csignal>
#include <iostream>
#include <memory>
#include <pqxx/pqxx>
#include <thread>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"
#include "sql/migrate.h"
#include "sql/outbox_triggers.h"
#include "sql/publication.h"
#include "tests/chaos/coherence_checker/mutant.h"
#include "tests/chaos/coherence_checker/readers.h"
#include "tests/chaos/coherence_checker/replica.h"
#include "tests/chaos/coherence_checker/transactions.h"
#include "tests/chaos/coherence_checker/writers.h"

ABSL_FLAG(std::string, dsn, "", "an empty database, as a superuser");
ABSL_FLAG(int64_t, reads, 1'000'000, "how many reads to check");
ABSL_FLAG(double, seconds, 0, "how long instead, with whatever reads that gives");
ABSL_FLAG(std::string, source, "stream", "how the servers follow changes: stream or outbox");
ABSL_FLAG(std::string, mutant, "", "what to get wrong: then a violation ends the run");
ABSL_FLAG(bool, mutants, false, "lists the mutants");
ABSL_FLAG(int, writers, 4, "programs that write to the database directly");
ABSL_FLAG(int, pause_ms, 60, "mean pause between two writes of one of them");
ABSL_FLAG(int, cancels, 0, "calls of a thousand that are cancelled");
ABSL_FLAG(bool, break_streams, false, "end the replicas' streams of changes every second");
ABSL_FLAG(bool, replica, false, "serve instead; for the program itself");

namespace twi::checker {
namespace {

volatile std::sig_atomic_t terminated = 0;

/// A line, whole, for the replicas write there, too.
void Tell(const std::string& line) { std::cerr << line + "\n" << std::flush; }

void Execute(const std::string& dsn, const std::string& sql) {
  pqxx::connection connection(dsn);
  pqxx::nontransaction(connection).exec(sql);
}

absl::Status Prepare(const std::string& dsn) {
  const auto migrations = sql::Migrations::Load(dsn);
  if (!migrations.ok()) return migrations.status();
  absl::Status status = migrations->Up([](const sql::MigrationStep&) {});
  if (!status.ok()) return status;
  Execute(dsn, kTables);
  return sql::PreparePublication(dsn);
}

int Main() {
  const std::string dsn = absl::GetFlag(FLAGS_dsn);
  const std::string source = absl::GetFlag(FLAGS_source);
  const std::string mutant = absl::GetFlag(FLAGS_mutant);
  if (source != "stream" && source != "outbox") {
    std::cerr << "--source is stream or outbox" << std::endl;
    return 64;
  }
  if (absl::Status status = Prepare(dsn); !status.ok()) {
    std::cerr << status << std::endl;
    return 1;
  }
  if (source == "outbox") {
    const auto left = sql::PrepareOutbox(dsn);
    if (!left.ok() || !left->empty()) {
      std::cerr << "no outbox: " << left.status() << std::endl;
      return 1;
    }
  }
  Ledger ledger;
  Readers readers({.cancels_of_1000 = absl::GetFlag(FLAGS_cancels)}, &ledger);
  const std::chrono::milliseconds pause(absl::GetFlag(FLAGS_pause_ms));
  Transactions transactions(pause, &ledger);
  std::array<std::unique_ptr<Replica>, kReplicas> replicas;
  // One that has ended is started again.
  const auto keep_up = [&] {
    for (size_t i = 0; i < kReplicas; ++i) {
      if (replicas[i] != nullptr && replicas[i]->Running()) continue;
      replicas[i] = std::make_unique<Replica>(dsn, source, mutant);
      if (replicas[i]->address().empty()) continue;
      readers.Serve(i, replicas[i]->address());
      transactions.Serve(i, replicas[i]->address());
      Tell(absl::StrCat("replica ", i, " is process ", replicas[i]->pid()));
    }
  };
  keep_up();
  Writers writers(dsn, absl::GetFlag(FLAGS_writers), pause, &ledger);
  const auto begin = Clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  Findings findings;
  for (int tick = 1;; ++tick) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    keep_up();
    findings = readers.findings();
    if (terminated != 0 || (!mutant.empty() && findings.violations > 0)) break;
    if (tick % 10 == 0) {
      Tell(nlohmann::ordered_json{{"seconds", seconds()},
                                  {"reads", findings.reads},
                                  {"hits", findings.hits},
                                  {"violations", findings.violations}}
               .dump());
    }
    const double most = absl::GetFlag(FLAGS_seconds);
    if (most > 0 ? seconds() > most : findings.reads >= absl::GetFlag(FLAGS_reads)) break;
    if (absl::GetFlag(FLAGS_break_streams) && tick % 20 == 0) {
      Execute(dsn,
              "select pg_terminate_backend(pid) from pg_stat_activity "
              "where application_name = 'twi-data changes' and datname = current_database()");
    }
  }
  const double took = seconds();
  writers.Stop();
  transactions.Stop();
  readers.Stop();
  if (mutant.empty() || findings.violations == 0) {
    // An answer that is stale for ever shows now.
    std::this_thread::sleep_for(std::chrono::seconds(1));
    readers.CheckFinal();
    findings = readers.findings();
  }
  std::cout << nlohmann::ordered_json{{"seconds", took},
                                      {"reads", findings.reads},
                                      {"hits", findings.hits},
                                      {"joins", findings.joins},
                                      {"writes", findings.writes},
                                      {"direct_writes", writers.writes()},
                                      {"transactions", transactions.committed()},
                                      {"errors", findings.errors},
                                      {"violations", findings.violations},
                                      {"first", findings.first}}
                   .dump(2)
            << std::endl;
  return findings.violations > 0 ? 2 : 0;
}

}  // namespace
}  // namespace twi::checker

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Reads through three replicas of the service while everybody writes, and checks each answer. "
      "Tells on stderr twice a second how far it is. SIGTERM ends it early. Ends with 2 when an "
      "answer was wrong.");
  absl::ParseCommandLine(argc, argv);
  if (absl::GetFlag(FLAGS_mutants)) {
    std::cout << absl::StrJoin(twi::checker::Mutants(), "\n") << std::endl;
    return 0;
  }
  if (absl::GetFlag(FLAGS_replica)) {
    return twi::checker::Replica::Serve(absl::GetFlag(FLAGS_dsn), absl::GetFlag(FLAGS_source),
                                        absl::GetFlag(FLAGS_mutant));
  }
  std::signal(SIGTERM, [](int) { twi::checker::terminated = 1; });
  return twi::checker::Main();
}

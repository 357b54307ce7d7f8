// How long it takes until the cache heeds what another program has committed. Follows a database's
// changes as the service does, while connections that know nothing of it commit at a steady pace.
// Prints one line of JSON. See README.md.

#include <algorithm>
#include <chrono>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <pqxx/pqxx>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_cat.h"
#include "cache/coherence.h"
#include "sql/follower.h"

ABSL_FLAG(std::string, dsn, "", "a database with quotes, whose changes are published");
ABSL_FLAG(int, rate, 1000, "commits a second");
ABSL_FLAG(int, writers, 8, "connections that commit");
ABSL_FLAG(double, seconds, 10, "how long to measure");
ABSL_FLAG(double, warmup, 1, "seconds of commits before that which are not measured");

namespace twi::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// What the cache is told, and when it had heeded it.
class Watch : public sql::ChangeListener {
 public:
  void OnOpen(uint64_t first, sql::ChangesFrom from) override { to_.OnOpen(first, from); }
  void OnCommit(const sql::Changes& changes) override {
    to_.OnCommit(changes);
    std::lock_guard lock(mutex_);
    heeded_[changes.transaction] = Clock::now();
  }
  void OnSchemaChange() override { to_.OnSchemaChange(); }
  void OnCurrent(sql::BootClock::time_point as_of, uint64_t position) override {
    to_.OnCurrent(as_of, position);
  }
  void OnTick(uint64_t position) override { to_.OnTick(position); }
  void OnClosed() override { to_.OnClosed(); }

  bool open() const { return coherence_.open(); }
  cache::Coherence& coherence() { return coherence_; }
  /// When a transaction was heeded; waits for it, but not for ever.
  Clock::time_point Of(uint64_t transaction) {
    for (const auto until = Clock::now() + std::chrono::seconds(10); Clock::now() < until;) {
      {
        std::lock_guard lock(mutex_);
        const auto found = heeded_.find(transaction);
        if (found != heeded_.end()) return found->second;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    std::cerr << "transaction " << transaction << " was not told\n";
    std::_Exit(1);
  }

 private:
  cache::Coherence coherence_;
  sql::ChangeListener& to_ = coherence_;
  std::mutex mutex_;
  absl::flat_hash_map<uint64_t, Clock::time_point> heeded_;
};

struct Commit {
  uint64_t transaction;
  Clock::time_point sent;
  Clock::time_point acknowledged;
};

/// One connection's commits, each at its time, or as soon as it can when it is late.
std::vector<Commit> Write(int writer, Clock::time_point begin, Clock::time_point end) {
  pqxx::connection connection(absl::GetFlag(FLAGS_dsn));
  connection.prepare("write",
                     "update quotes set author_id = author_id % 1000000 + 1 where serial_id = $1 "
                     "returning pg_current_xact_id()::text");
  pqxx::nontransaction session(connection);
  const int writers = absl::GetFlag(FLAGS_writers);
  const std::chrono::duration<double> pause(1.0 / absl::GetFlag(FLAGS_rate));
  std::vector<Commit> commits;
  for (int i = writer;; i += writers) {
    const auto due = begin + std::chrono::duration_cast<Clock::duration>(i * pause);
    if (due >= end) return commits;
    std::this_thread::sleep_until(due);
    Commit commit;
    commit.sent = Clock::now();
    commit.transaction = session.exec_prepared1("write", 1 + i % 100)[0].as<uint64_t>();
    commit.acknowledged = Clock::now();
    commits.push_back(commit);
  }
}

nlohmann::ordered_json Percentiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  nlohmann::ordered_json all;
  for (const int percent : {50, 90, 99}) {
    all["p" + std::to_string(percent)] = values[(values.size() - 1) * percent / 100];
  }
  return all;
}

int Main() {
  Watch watch;
  sql::Follower source({.dsn = absl::GetFlag(FLAGS_dsn), .only = sql::ChangesFrom::kStream},
                       &watch);
  watch.coherence().SetSource(&source);
  for (int i = 0; !watch.open(); ++i) {
    if (i == 1000) {
      std::cerr << "nothing is told\n";
      return 1;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const auto seconds = [](double count) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(count));
  };
  const auto begin = Clock::now() + std::chrono::milliseconds(100);
  const auto from = begin + seconds(absl::GetFlag(FLAGS_warmup));
  const auto end = from + seconds(absl::GetFlag(FLAGS_seconds));
  std::vector<std::vector<Commit>> written(absl::GetFlag(FLAGS_writers));
  std::vector<std::thread> writers;
  for (size_t i = 0; i < written.size(); ++i) {
    writers.emplace_back([&, i] { written[i] = Write(static_cast<int>(i), begin, end); });
  }
  for (std::thread& writer : writers) writer.join();

  std::vector<double> since_sent;
  std::vector<double> since_acknowledged;
  Clock::time_point last = from;
  for (const auto& commits : written) {
    for (const Commit& commit : commits) {
      const Clock::time_point heeded = watch.Of(commit.transaction);
      if (commit.sent < from) continue;
      const auto ms = [&](Clock::time_point since) {
        return std::max(0.0, std::chrono::duration<double, std::milli>(heeded - since).count());
      };
      since_sent.push_back(ms(commit.sent));
      since_acknowledged.push_back(ms(commit.acknowledged));
      last = std::max(last, commit.acknowledged);
    }
  }
  watch.coherence().SetSource(nullptr);
  const std::chrono::duration<double> took = last - from;
  std::cout << nlohmann::ordered_json{{"commits", since_sent.size()},
                                      {"commits_per_second",
                                       static_cast<double>(since_sent.size()) / took.count()},
                                      {"ms_since_sent", Percentiles(since_sent)},
                                      {"ms_since_acknowledged", Percentiles(since_acknowledged)}}
            << std::endl;
  return 0;
}

}  // namespace
}  // namespace twi::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Tells how long a commit takes until the cache heeds it.");
  absl::ParseCommandLine(argc, argv);
  return twi::bench::Main();
}

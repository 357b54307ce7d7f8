#include "tests/chaos/coherence_checker/writers.h"

#include <algorithm>
#include <pqxx/pqxx>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace twi::checker {
namespace {

using Versions = std::vector<std::pair<size_t, int64_t>>;

/// One program's connection.
class Writer {
 public:
  /// `durable`: its commits wait for standbys, where there are some.
  Writer(const std::string& dsn, unsigned seed, bool durable, Ledger* ledger)
      : connection_(dsn), random_(seed), ledger_(ledger) {
    connection_.set_variable("client_min_messages", "error");
    connection_.set_variable("lock_timeout", "5000");
    connection_.set_variable("synchronous_commit", durable ? "on" : "local");
  }

  /// One write. Throws what libpqxx does.
  void Write() {
    const size_t which = Draw(1000);
    if (which < 300) return Update(1);
    if (which < 450) return Update(1 + Draw(5));
    if (which < 550) return Move();
    if (which < 650) return DeleteAndInsert();
    if (which < 750) return Merge();
    if (which < 850) return Copy();
    if (which < 930) return Call();
    if (which < 985) return Knock();
    if (which < 994) return UpdateMany();
    // A new schema: all that is kept is given up, so these are rare.
    if (which < 996) return Truncate();
    if (which < 998) return Refresh();
    return Define();
  }

 private:
  size_t Draw(size_t below) { return std::uniform_int_distribution<size_t>(0, below - 1)(random_); }
  /// In order, so that nobody waits for another who waits for him.
  std::vector<size_t> Keys(size_t count) {
    std::vector<size_t> keys;
    for (size_t i = 0; i < count; ++i) keys.push_back(Draw(kKeys));
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    return keys;
  }
  static std::string In(const std::vector<size_t>& keys) {
    return absl::StrCat(" in (", absl::StrJoin(keys, ", "), ")");
  }

  /// Runs `write`, whose rows are keys and their new versions, as one transaction.
  template <typename Write>
  void Do(const std::vector<size_t>& keys, Write write) {
    for (size_t key : keys) ledger_->Begin(key);
    pqxx::work work(connection_);
    Versions versions;
    for (const auto& row : write(work)) {
      versions.emplace_back(row[0].template as<size_t>(), row[1].template as<int64_t>());
    }
    work.commit();
    for (const auto& [key, version] : versions) ledger_->Acknowledge(key, version);
  }

  void Update(size_t count) {
    const auto keys = Keys(count);
    Do(keys, [&](pqxx::work& work) {
      Lock(work, keys);
      return work.exec("update reg set v = v + 1 where k" + In(keys) + " returning k, v");
    });
  }
  static void Lock(pqxx::work& work, const std::vector<size_t>& keys) {
    work.exec("select from reg where k" + In(keys) + " order by k for update");
  }
  void Move() {
    const auto keys = Keys(1);
    const size_t from = Draw(kAccounts);
    Do(keys, [&](pqxx::work& work) {
      work.exec(absl::StrCat("select from account order by k for update"));
      work.exec(absl::StrCat("update account set amount = amount - 1 where k = ", from));
      work.exec(absl::StrCat("update account set amount = amount + 1 where k = ",
                             (from + 1) % kAccounts));
      return work.exec("update reg set v = v + 1 where k" + In(keys) + " returning k, v");
    });
  }
  void DeleteAndInsert() {
    const auto keys = Keys(1);
    Do(keys, [&](pqxx::work& work) {
      const auto row = work.exec1("delete from reg where k" + In(keys) + " returning v");
      return work.exec(absl::StrCat("insert into reg values (", keys[0], ", ",
                                    row[0].as<int64_t>() + 1, ") returning k, v"));
    });
  }
  void Merge() {
    const auto keys = Keys(2);
    Do(keys, [&](pqxx::work& work) {
      Lock(work, keys);
      work.exec("merge into reg r using (select k from reg where k" + In(keys) +
                ") s on s.k = r.k when matched then update set v = v + 1");
      return work.exec("select k, v from reg where k" + In(keys));
    });
  }
  void Copy() {
    const auto keys = Keys(1);
    Do(keys, [&](pqxx::work& work) {
      const auto row = work.exec1("delete from reg where k" + In(keys) + " returning v");
      pqxx::stream_to stream(work, "reg");
      stream << std::make_tuple(keys[0], row[0].as<int64_t>() + 1);
      stream.complete();
      return work.exec("select k, v from reg where k" + In(keys));
    });
  }
  void Call() {
    const auto keys = Keys(1);
    Do(keys, [&](pqxx::work& work) {
      return work.exec(absl::StrCat("select ", keys[0], ", bump(", keys[0], ")"));
    });
  }
  /// By a rule.
  void Knock() {
    const auto keys = Keys(1);
    Do(keys, [&](pqxx::work& work) {
      Lock(work, keys);
      return work.exec("update reg_door set v = v + 1 where k" + In(keys) + " returning k, v");
    });
  }
  /// More than are told one by one.
  void UpdateMany() {
    const auto keys = Keys(1);
    Do(keys, [&](pqxx::work& work) {
      const auto rows =
          work.exec("update reg set v = v + 1 where k" + In(keys) + " returning k, v");
      work.exec(
          "insert into reg select 1000 + i, 1 from generate_series(1, 1000) i on conflict (k) do "
          "update set v = 1");
      return rows;
    });
  }
  void Truncate() {
    std::vector<size_t> keys(kKeys);
    for (size_t key = 0; key < kKeys; ++key) keys[key] = key;
    Do(keys, [&](pqxx::work& work) {
      // Who waits for the lock with an older snapshot would find nothing, as the manual warns.
      work.exec("select pg_advisory_xact_lock(1)");
      work.exec("lock table reg, reg_child, reg_log, reg_part in access exclusive mode");
      work.exec("create temp table kept on commit drop as select * from reg where k < 64");
      work.exec("truncate reg cascade");
      return work.exec("insert into reg select k, v + 1 from kept returning k, v");
    });
  }
  /// One at a time, so that it is known what it has shown.
  void Refresh() {
    pqxx::nontransaction session(connection_);
    session.exec("select pg_advisory_lock(1)");
    session.exec(
        absl::StrCat("refresh materialized view ", Draw(2) ? "concurrently " : "", "reg_seen"));
    for (const auto& row : session.exec("select k, v from reg_seen")) {
      ledger_->Acknowledge(kSeen + row[0].as<size_t>(), row[1].as<int64_t>());
    }
    session.exec("select pg_advisory_unlock(1)");
  }
  void Define() {
    pqxx::work work(connection_);
    work.exec("select pg_advisory_xact_lock(2)");
    const auto next = work.exec1("select v + 1 from reg_defined")[0].as<int64_t>();
    work.exec(absl::StrCat("create or replace view reg_defined as select ", next, "::bigint as v"));
    ledger_->Begin(kDefined);
    work.commit();
    ledger_->Acknowledge(kDefined, next);
  }

  pqxx::connection connection_;
  std::mt19937 random_;
  Ledger* const ledger_;
};

}  // namespace

Writers::Writers(const std::string& dsn, int count, Clock::duration pause, Ledger* ledger)
    : dsn_(dsn), pause_(pause), ledger_(ledger) {
  for (int i = 0; i < count; ++i) {
    threads_.emplace_back([this, i] { Run(static_cast<unsigned>(i)); });
  }
}

void Writers::Run(unsigned seed) {
  const bool durable = seed == 0;
  std::mt19937 random(seed);
  std::exponential_distribution<double> share(1);
  while (!stopping_) {
    try {
      for (Writer writer(dsn_, seed++, durable, ledger_); !stopping_; ++writes_) {
        writer.Write();
        std::this_thread::sleep_for(share(random) * pause_);
      }
    } catch (const std::exception&) {
      // Whatever it was, it may have been done or not: nothing was acknowledged.
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
}

void Writers::Stop() {
  stopping_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

}  // namespace twi::checker

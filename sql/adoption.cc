#include "sql/adoption.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "sql/draft.h"
#include "sql/embedded_text.h"
#include "sql/schema.h"

namespace twi::sql {
namespace {

using Step = SchemaChange::Step;

constexpr int kAttempts = 5;
constexpr char kLockTimeout[] = "set lock_timeout = '10s'";

/// Whether a transaction may do better next time: it waited too long for a lock, was the victim of
/// a deadlock, or somebody wrote a row that is refused after those had been moved away.
bool MayGoBetter(const pqxx::sql_error& error) {
  return error.sqlstate() == "55P03" || error.sqlstate() == "40P01" ||
         absl::StartsWith(error.sqlstate(), "23");
}

class Adoption {
 public:
  Adoption(BlockingConnection& connection, const std::vector<Migration>& migrations,
           const Migrations::Report& report)
      : connection_(connection), migrations_(migrations), report_(report) {
    pqxx::nontransaction session(connection_);
    live_ = session.exec("select current_schema()")[0][0].as<std::string>();
    session.exec("set statement_timeout = 0");
    session.exec(kLockTimeout);
    session.exec("set timezone = 'UTC'");
    session.exec("set search_path = " + session.quote_name(live_));
  }

  bool IsDue() {
    pqxx::work work(connection_);
    const std::vector<SchemaObject> live = ReadSchema(work, live_);
    const auto is_table = [](const SchemaObject& object) { return object.kind == "table"; };
    // Most often there is nothing, which is quickly seen.
    if (std::none_of(live.begin(), live.end(), is_table)) return false;
    std::set<std::string> names;
    for (const SchemaObject& object : MakeExpected(work)) {
      if (is_table(object)) names.insert(object.name);
    }
    return std::any_of(live.begin(), live.end(), [&](const SchemaObject& object) {
      return is_table(object) && names.contains(object.name);
    });
  }

  absl::Status Run() {
    Transact([&](pqxx::work& work) {
      // In the order of their names: the extension; is it the bot's; what goes; mending; rejecting.
      work.exec(std::string(kAdoption.front().text));
      expected_ = MakeExpected(work);
      for (size_t i = 1; i < kAdoption.size(); ++i) work.exec(std::string(kAdoption[i].text));
    });
    recognised_ = true;
    Stage("missing tables", [this](const Tables& tables) { MakeMissing(tables); });
    Stage("columns", [this](const Tables& tables) { ChangeColumns(tables); });
    Stage("required values", [this](const Tables& tables) { Require(tables); });
    Stage("keys", [this](const Tables& tables) { MakeKeys(tables); });
    Stage("indexes", [this](const Tables& tables) { MakeIndexes(tables); });
    Stage("foreign keys", [this](const Tables& tables) { MakeForeignKeys(tables); });
    Stage("functions", [this](const Tables& tables) { MakeFunctions(tables); });
    return Finish();
  }

  /// Whether the database is the bot's, and Run has begun to change it.
  bool recognised() const { return recognised_; }

  /// Takes away what Run left behind.
  void Clear() {
    try {
      pqxx::nontransaction session(connection_);
      session.exec("drop schema if exists twi_data_adoption cascade");
      session.exec("discard temp");
      for (const char* setting : {"statement_timeout", "lock_timeout", "timezone", "search_path"}) {
        session.exec(absl::StrCat("reset ", setting));
      }
    } catch (const std::exception&) {
      // The connection is lost; the next run makes the schema anew.
    }
  }

 private:
  /// The changes of one table; of name "" those of none.
  struct Table {
    std::string name;
    std::vector<SchemaChange> changes;
  };
  using Tables = std::vector<Table>;

  template <typename Body>
  void Transact(Body body) {
    for (int attempt = 1;; ++attempt) {
      try {
        pqxx::work work(connection_);
        body(work);
        return work.commit();
      } catch (const pqxx::sql_error& error) {
        if (attempt == kAttempts || !MayGoBetter(error)) throw;
      }
    }
  }

  /// Each stage does what is left to do of its kind.
  template <typename Body>
  void Stage(const char* name, Body body) {
    const absl::Time start = absl::Now();
    std::map<std::string, std::vector<SchemaChange>> by_table;
    for (SchemaChange& change : Pending()) by_table[change.relation].push_back(std::move(change));
    Tables tables;
    for (auto& [table, changes] : by_table) tables.push_back({table, std::move(changes)});
    body(tables);
    if (report_) {
      report_({.name = name, .kind = MigrationStep::Kind::kAdopt, .duration = absl::Now() - start});
    }
  }

  /// Makes the schema twi_data_adoption with the tables as they shall be.
  std::vector<SchemaObject> MakeExpected(pqxx::work& work) {
    work.exec("drop schema if exists twi_data_adoption cascade; create schema twi_data_adoption");
    const std::string live = work.quote_name(live_);
    // The live schema stays in the path for the extensions that live in it.
    work.exec("set local search_path = twi_data_adoption, " + live);
    for (const Migration& migration : migrations_) work.exec(migration.up);
    std::vector<SchemaObject> expected = ReadSchema(work, "twi_data_adoption");
    work.exec("set local search_path = " + live);
    return expected;
  }

  /// What differs, but for what others have added.
  std::vector<SchemaChange> Pending() {
    pqxx::work work(connection_);
    std::vector<SchemaChange> changes = Changes(expected_, ReadSchema(work, live_));
    work.commit();
    const std::set<std::string> of_the_bot = Names("select name from of_the_bot");
    std::erase_if(changes, [&](const SchemaChange& change) {
      return change.removes && !of_the_bot.contains(change.name);
    });
    return changes;
  }

  std::set<std::string> Names(const char* query) {
    std::set<std::string> names;
    pqxx::nontransaction session(connection_);
    for (const pqxx::row& row : session.exec(query)) names.insert(row[0].as<std::string>());
    return names;
  }

  static bool Has(const std::vector<SchemaChange>& changes, Step step) {
    return std::any_of(changes.begin(), changes.end(),
                       [&](const SchemaChange& change) { return change.step == step; });
  }

  /// Runs those of the changes that meet the condition, in their order.
  template <typename Condition>
  static void Run(pqxx::transaction_base& transaction, const std::vector<SchemaChange>& changes,
                  Condition condition) {
    for (const SchemaChange& change : changes) {
      if (condition(change)) transaction.exec(change.sql);
    }
  }

  static void Run(pqxx::transaction_base& transaction, const std::vector<SchemaChange>& changes,
                  std::initializer_list<Step> steps) {
    Run(transaction, changes, [&](const SchemaChange& change) {
      return std::find(steps.begin(), steps.end(), change.step) != steps.end();
    });
  }

  /// Calls one of our functions for a table.
  static void Call(pqxx::work& work, const char* function, const std::string& table) {
    work.exec(absl::StrCat("select twi_data_adoption.", function, "(", work.quote(table), ")"));
  }

  /// But for their foreign keys, which may be to tables that change yet.
  void MakeMissing(const Tables& tables) {
    Transact([&](pqxx::work& work) {
      for (const Step step : {Step::kMakeSequence, Step::kMakeTable, Step::kMakeConstraint,
                              Step::kMakeIndex, Step::kOwnSequence}) {
        for (const Table& table : tables) {
          if (Has(table.changes, Step::kMakeTable)) Run(work, table.changes, {step});
        }
      }
    });
  }

  void ChangeColumns(const Tables& tables) {
    for (const std::string& table : Names("select relation from mends")) {
      Transact([&](pqxx::work& work) { Call(work, "mend", table); });
    }
    for (const Table& table : tables) {
      const bool rewrites = std::any_of(table.changes.begin(), table.changes.end(),
                                        [](const SchemaChange& change) { return change.rewrites; });
      Transact([&](pqxx::work& work) {
        // What will go need not be written anew first. Elsewhere it serves until the end.
        if (rewrites) {
          Run(work, table.changes, [](const SchemaChange& change) {
            return change.step == Step::kDropIndex && change.removes;
          });
        }
        Run(work, table.changes, {Step::kMakeSequence, Step::kChangeColumns, Step::kOwnSequence});
      });
    }
  }

  void Require(const Tables& tables) {
    for (const Table& table : tables) {
      if (!Has(table.changes, Step::kRequire)) continue;
      const std::string alter = absl::StrCat("alter table ", table.name);
      Transact([&](pqxx::work& work) { Call(work, "guard", table.name); });
      Transact([&](pqxx::work& work) { Call(work, "reject_nulls", table.name); });
      Transact(
          [&](pqxx::work& work) { work.exec(alter + " validate constraint twi_data_required"); });
      Transact([&](pqxx::work& work) {
        Run(work, table.changes, {Step::kRequire});
        work.exec(alter + " drop constraint twi_data_required");
      });
    }
  }

  void MakeKeys(const Tables& tables) {
    const auto is_key = [](const SchemaChange& change) {
      return change.step == Step::kMakeConstraint ||
             (change.step == Step::kMakeIndex && absl::StartsWith(change.sql, "CREATE UNIQUE"));
    };
    for (const Table& table : tables) {
      std::set<std::string> keys;
      for (const SchemaChange& change : table.changes) {
        if (is_key(change)) keys.insert(change.object);
      }
      if (keys.empty() && !Has(table.changes, Step::kDropConstraint)) continue;
      Transact([&](pqxx::work& work) {
        work.exec(absl::StrCat("lock table ", table.name, " in share row exclusive mode"));
        Call(work, "reject_unchecked", table.name);
        Call(work, "reject_duplicates", table.name);
        Run(work, table.changes, [&](const SchemaChange& change) {
          return change.step == Step::kDropConstraint || is_key(change) ||
                 (change.step == Step::kDropIndex && keys.contains(change.object));
        });
      });
    }
  }

  /// Makes them beside readers and writers, for whom those that they replace serve until then.
  void MakeIndexes(const Tables& tables) {
    for (const Table& table : tables) {
      Transact([&](pqxx::work& work) { SetAside(work, table.changes); });
      {
        pqxx::nontransaction session(connection_);
        // It waits for everybody's transactions, and nobody for it.
        session.exec("set lock_timeout = 0");
        for (const SchemaChange& change : table.changes) {
          if (change.step != Step::kMakeIndex) continue;
          session.exec(
              absl::StrReplaceAll(change.sql, {{"CREATE INDEX", "CREATE INDEX CONCURRENTLY"}}));
        }
        session.exec(kLockTimeout);
      }
      Transact([&](pqxx::work& work) {
        Run(work, table.changes, [](const SchemaChange& change) {
          return change.step == Step::kDropIndex && change.removes;
        });
      });
    }
    const std::set<std::string> old = Names(R"(
        select i.relname from pg_class i
        where i.relkind = 'i' and i.relname like 'twi\_data\_old\_%'
          and i.relnamespace = current_schema()::regnamespace)");
    for (const std::string& name : old) {
      Transact([&](pqxx::work& work) { work.exec("drop index " + work.quote_name(name)); });
    }
  }

  /// Gives the indexes that are to be made anew another name.
  static void SetAside(pqxx::work& work, const std::vector<SchemaChange>& changes) {
    for (const SchemaChange& change : changes) {
      if (change.step != Step::kDropIndex || change.removes) continue;
      const std::string old = "twi_data_old_" + change.name;
      // When the old one is there already, this one was being made when somebody was cut short.
      const bool is_ours =
          !work.exec("select to_regclass(" + work.quote(old) + ")")[0][0].is_null();
      work.exec(is_ours ? change.sql
                        : absl::StrCat("alter index ", change.name, " rename to ", old));
    }
  }

  void MakeForeignKeys(const Tables& tables) {
    for (const Table& table : tables) {
      Transact([&](pqxx::work& work) {
        Run(work, table.changes, {Step::kDropForeignKey, Step::kMakeForeignKey});
      });
      for (const SchemaChange& change : table.changes) {
        if (change.step != Step::kValidate) continue;
        Transact([&](pqxx::work& work) {
          work.exec(absl::StrCat("select twi_data_adoption.reject_orphans(", work.quote(table.name),
                                 ", ", work.quote(change.name), ")"));
        });
        Transact([&](pqxx::work& work) { work.exec(change.sql); });
      }
    }
  }

  void MakeFunctions(const Tables& tables) {
    Transact([&](pqxx::work& work) {
      for (const Step step : {Step::kDropView, Step::kMakeView}) {
        for (const Table& table : tables) Run(work, table.changes, {step});
      }
    });
  }

  /// What is left to do now is a fault of ours, or somebody has changed the schema meanwhile.
  absl::Status Finish() {
    const std::vector<SchemaChange> left = Pending();
    if (!left.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat(left.front().object, " is not what the migrations make"));
    }
    return absl::OkStatus();
  }

  BlockingConnection& connection_;
  const std::vector<Migration>& migrations_;
  const Migrations::Report& report_;
  std::string live_;
  std::vector<SchemaObject> expected_;
  bool recognised_ = false;
};

}  // namespace

bool IsAdoptionDue(BlockingConnection& connection, const std::vector<Migration>& migrations) {
  Adoption adoption(connection, migrations, {});
  const bool due = adoption.IsDue();
  adoption.Clear();
  return due;
}

absl::Status Adopt(BlockingConnection& connection, const std::vector<Migration>& migrations,
                   const Migrations::Report& report) {
  Adoption adoption(connection, migrations, report);
  absl::Status status = Guarded([&] { return adoption.Run(); });
  adoption.Clear();
  if (status.ok() || !adoption.recognised()) return status;
  return absl::Status(status.code(),
                      absl::StrCat("the adoption is not complete, run it again and it goes on: ",
                                   status.message()));
}

}  // namespace twi::sql

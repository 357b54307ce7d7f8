#include "tests/chaos/coherence_checker/mutant.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <pqxx/pqxx>
#include <utility>

#include "sql/follower.h"

namespace twi::checker {
namespace {

using sql::BootClock;
using sql::Changes;

/// Hands on what it hears.
class Honest : public sql::ChangeListener {
 public:
  explicit Honest(sql::ChangeListener* to) : to_(to) {}

  void OnOpen(uint64_t first, sql::ChangesFrom from) override { to_->OnOpen(first, from); }
  void OnCommit(const Changes& changes) override { to_->OnCommit(changes); }
  void OnSchemaChange() override { to_->OnSchemaChange(); }
  void OnCurrent(BootClock::time_point as_of, uint64_t position) override {
    to_->OnCurrent(as_of, position);
  }
  void OnTick(uint64_t position) override { to_->OnTick(position); }
  void OnClosed() override { to_->OnClosed(); }

 protected:
  sql::ChangeListener* const to_;
};

/// One transaction of 20 is not told.
class Forgetful : public Honest {
 public:
  using Honest::Honest;
  void OnCommit(const Changes& changes) override {
    if (++count_ % 20 != 0) Honest::OnCommit(changes);
  }

 private:
  int count_ = 0;
};

/// A table's changes are not told.
class Blind : public Honest {
 public:
  Blind(sql::ChangeListener* to, sql::Oid table) : Honest(to), table_(table) {}
  void OnCommit(const Changes& changes) override {
    Changes rest = changes;
    rest.tables.erase(table_);
    Honest::OnCommit(rest);
  }

 private:
  const sql::Oid table_;
};

/// What is told without its rows (TRUNCATE, very many rows) is not told.
class Detailed : public Honest {
 public:
  using Honest::Honest;
  void OnCommit(const Changes& changes) override {
    Changes rest = changes;
    absl::erase_if(rest.tables, [](const auto& table) { return table.second.whole; });
    Honest::OnCommit(rest);
  }
};

/// Of the rows that a transaction changed in a table, one is told.
class Brief : public Honest {
 public:
  using Honest::Honest;
  void OnCommit(const Changes& changes) override {
    Changes brief = changes;
    for (auto& [table, of_table] : brief.tables) {
      while (of_table.keys.size() > 1) of_table.keys.erase(of_table.keys.begin());
    }
    Honest::OnCommit(brief);
  }
};

/// A new schema is the old one.
class Conservative : public Honest {
 public:
  using Honest::Honest;
  void OnCommit(const Changes& changes) override {
    Changes rest = changes;
    rest.schema = false;
    if (!rest.empty()) Honest::OnCommit(rest);
  }
  void OnSchemaChange() override {}
};

/// Every snapshot sees every transaction: an answer is dropped by nothing.
class Credulous : public Honest {
 public:
  using Honest::Honest;
  void OnCommit(const Changes& changes) override {
    Changes seen = changes;
    seen.transaction = 1;
    Honest::OnCommit(seen);
  }
};

/// Hands on some of what it hears a while later.
class Slack : public Honest {
 public:
  using Honest::Honest;
  void OnTick(uint64_t position) override {
    Release();
    Honest::OnTick(position);
  }

 protected:
  void Hold(std::function<void()> tell) {
    held_.emplace_back(BootClock::now() + std::chrono::milliseconds(20), std::move(tell));
  }
  void Release() {
    for (; !held_.empty() && held_.front().first <= BootClock::now(); held_.pop_front()) {
      held_.front().second();
    }
  }

 private:
  std::deque<std::pair<BootClock::time_point, std::function<void()>>> held_;
};

/// Changes are heeded a while after they were told.
class Slow : public Slack {
 public:
  using Slack::Slack;
  void OnCommit(const Changes& changes) override {
    Hold([this, changes] { Honest::OnCommit(changes); });
  }
};

/// It is current as of the answer to its question, not as of the question.
class Late : public Slack {
 public:
  using Slack::Slack;
  void OnCommit(const Changes& changes) override {
    Hold([this, changes] { Honest::OnCommit(changes); });
  }
  void OnCurrent(BootClock::time_point, uint64_t position) override {
    Hold([this, position] { Honest::OnCurrent(BootClock::now(), position); });
  }
};

/// What has come was all there is.
class Hasty : public Honest {
 public:
  using Honest::Honest;
  void OnTick(uint64_t position) override { Honest::OnCurrent(BootClock::now(), position); }
};

/// The time to come counts as told.
class Prophet : public Honest {
 public:
  using Honest::Honest;
  void OnCurrent(BootClock::time_point as_of, uint64_t position) override {
    Honest::OnCurrent(as_of + std::chrono::milliseconds(60), position);
  }
};

/// A lost stream goes on where the next one begins.
class Seamless : public Honest {
 public:
  using Honest::Honest;
  void OnOpen(uint64_t first, sql::ChangesFrom from) override {
    if (!std::exchange(opened_, true)) Honest::OnOpen(first, from);
  }
  void OnClosed() override {}

 private:
  bool opened_ = false;
};

/// Nothing was under way when it began.
class Unready : public Honest {
 public:
  using Honest::Honest;
  void OnOpen(uint64_t, sql::ChangesFrom from) override { Honest::OnOpen(0, from); }
};

/// Who began before the last one that has been told of is not told of any more.
class Orderly : public Honest {
 public:
  using Honest::Honest;
  void OnCommit(const Changes& changes) override {
    newest_ = std::max(newest_, changes.transaction);
    if (changes.transaction > told_) Honest::OnCommit(changes);
  }
  void OnCurrent(BootClock::time_point as_of, uint64_t position) override {
    told_ = newest_;
    Honest::OnCurrent(as_of, position);
  }

 private:
  uint64_t newest_ = 0;
  uint64_t told_ = 0;
};

/// A token promises what nobody has told yet.
class Generous : public Slack {
 public:
  using Slack::Slack;
  void OnCommit(const Changes& changes) override {
    Hold([this, changes] { Honest::OnCommit(changes); });
  }
  void OnCurrent(BootClock::time_point as_of, uint64_t) override {
    Hold([this, as_of] { Honest::OnCurrent(as_of, ~uint64_t{0}); });
  }
  void OnTick(uint64_t) override { Slack::OnTick(~uint64_t{0}); }
};

sql::Oid OidOf(const std::string& dsn, const std::string& table) {
  pqxx::connection connection(dsn);
  pqxx::nontransaction session(connection);
  return session.exec1("select '" + table + "'::regclass::oid")[0].as<sql::Oid>();
}

template <typename Mutant>
std::unique_ptr<Honest> Make(const std::string&, sql::ChangeListener* listener) {
  return std::make_unique<Mutant>(listener);
}
template <const char* table>
std::unique_ptr<Honest> MakeBlind(const std::string& dsn, sql::ChangeListener* listener) {
  return std::make_unique<Blind>(listener, OidOf(dsn, table));
}
constexpr char kChild[] = "reg_child";
constexpr char kLog[] = "reg_log";
constexpr char kPartitioned[] = "reg_part";

using Maker = std::unique_ptr<Honest> (*)(const std::string& dsn, sql::ChangeListener* listener);
const std::map<std::string, Maker>& Makers() {
  static const std::map<std::string, Maker> kMakers = {
      {"", Make<Honest>},
      {"brief", Make<Brief>},
      {"cascades", MakeBlind<kChild>},
      {"conservative", Make<Conservative>},
      {"credulous", Make<Credulous>},
      {"detailed", Make<Detailed>},
      {"forgetful", Make<Forgetful>},
      {"generous", Make<Generous>},
      {"hasty", Make<Hasty>},
      {"late", Make<Late>},
      {"orderly", Make<Orderly>},
      {"partitions", MakeBlind<kPartitioned>},
      {"prophet", Make<Prophet>},
      {"seamless", Make<Seamless>},
      {"slow", Make<Slow>},
      {"triggers", MakeBlind<kLog>},
      {"unready", Make<Unready>},
  };
  return kMakers;
}

/// A source with its mutant, which has to outlive it.
class Source : public sql::ChangeSource {
 public:
  Source(const std::string& dsn, sql::ChangesFrom from, std::unique_ptr<Honest> mutant)
      : mutant_(std::move(mutant)), source_({.dsn = dsn, .only = from}, mutant_.get()) {}
  void Freshen() override { source_.Freshen(); }

 private:
  const std::unique_ptr<Honest> mutant_;
  sql::Follower source_;
};

}  // namespace

const std::vector<std::string>& Mutants() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> all;
    for (const auto& [name, maker] : Makers()) {
      if (!name.empty()) all.push_back(name);
    }
    return all;
  }();
  return kNames;
}

std::unique_ptr<sql::ChangeSource> Follow(const std::string& dsn, sql::ChangesFrom from,
                                          const std::string& mutant,
                                          sql::ChangeListener* listener) {
  return std::make_unique<Source>(dsn, from, Makers().at(mutant)(dsn, listener));
}

}  // namespace twi::checker

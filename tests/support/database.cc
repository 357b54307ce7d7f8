#include "tests/support/database.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <pqxx/pqxx>

namespace twi::testing {
namespace {

/// Ends the process: a test without its database proves nothing.
[[noreturn]] void Fail(const std::string& what) {
  std::cerr << what << std::endl;
  std::abort();
}

std::string ClusterDsn() {
  const char* cluster = std::getenv("TWI_TEST_CLUSTER");
  if (cluster == nullptr) Fail("TWI_TEST_CLUSTER is not set: see tests/support/cluster");
  std::ifstream file(std::string(cluster) + "/dsn");
  std::string dsn;
  if (!std::getline(file, dsn)) Fail(std::string("no cluster runs in ") + cluster);
  return dsn;
}

template <typename F>
auto OnDatabase(const std::string& dsn, const std::string& sql, F run) {
  try {
    pqxx::connection connection(dsn);
    pqxx::nontransaction session(connection);
    return run(session);
  } catch (const std::exception& error) {
    Fail(sql + "\n" + error.what());
  }
}

void Execute(const std::string& dsn, const std::string& sql) {
  OnDatabase(dsn, sql, [&](pqxx::nontransaction& session) { session.exec(sql); });
}

}  // namespace

Database::Database() {
  static std::atomic<int> number = 0;
  name_ = "test_" + std::to_string(getpid()) + "_" + std::to_string(++number);
  // A test process of an earlier run may have had this id and been killed.
  Execute(ClusterDsn(), "drop database if exists " + name_ + " with (force)");
  Execute(ClusterDsn(), "create database " + name_ + " template template0");
  // Of two settings of one name the last counts.
  dsn_ = ClusterDsn() + " dbname=" + name_;
}

Database::~Database() {
  // `with (force)` spares those who send changes, and they take a moment to find that nobody
  // listens.
  Execute(ClusterDsn(),
          "select pg_terminate_backend(active_pid, 30000) from pg_replication_slots where database "
          "= '" +
              name_ + "' and active");
  Execute(ClusterDsn(), "drop database " + name_ + " with (force)");
}

void Database::Run(const std::string& sql) const { Execute(dsn_, sql); }

std::string Database::Value(const std::string& sql) const {
  return OnDatabase(dsn_, sql, [&](pqxx::nontransaction& session) {
    return std::string(session.exec(sql).at(0).at(0).c_str());
  });
}

struct Session::Open {
  explicit Open(const std::string& dsn) : connection(dsn) {}

  pqxx::connection connection;
  pqxx::nontransaction work{connection};
};

Session::Session(const Database& database) : open_(std::make_unique<Open>(database.dsn())) {}

Session::~Session() = default;

void Session::Run(const std::string& sql) const {
  try {
    open_->work.exec(sql);
  } catch (const std::exception& error) {
    Fail(sql + "\n" + error.what());
  }
}

struct Transaction::Open {
  explicit Open(const std::string& dsn) : connection(dsn) {}

  pqxx::connection connection;
  pqxx::work work{connection};
};

Transaction::Transaction(const Database& database, const std::string& sql) {
  try {
    open_ = std::make_unique<Open>(database.dsn());
    open_->work.exec(sql);
  } catch (const std::exception& error) {
    Fail(sql + "\n" + error.what());
  }
}

Transaction::~Transaction() = default;

void Transaction::Commit() {
  open_->work.commit();
  End();
}

void Transaction::End() { open_.reset(); }

}  // namespace twi::testing

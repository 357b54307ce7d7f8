#pragma once

#include <memory>
#include <string>

namespace twi::testing {

/// A database of a test's own in the shared throw-away cluster (`$TWI_TEST_CLUSTER`, a folder),
/// created empty and dropped in the end, also when connections to it are still open.
class Database {
 public:
  Database();
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// A libpq connection string of a superuser.
  const std::string& dsn() const { return dsn_; }

  /// Runs a script, or fails the test's process with what the database says.
  void Run(const std::string& sql) const;
  /// The first value of the first row as text.
  std::string Value(const std::string& sql) const;

 private:
  std::string name_;
  std::string dsn_;
};

/// Somebody else's connection, which may leave a transaction open from one script to the next.
class Session {
 public:
  explicit Session(const Database& database);
  ~Session();
  void Run(const std::string& sql) const;

 private:
  struct Open;
  std::unique_ptr<Open> open_;
};

/// Somebody else's open transaction, which has run the script. It is rolled back unless committed.
class Transaction {
 public:
  Transaction(const Database& database, const std::string& sql);
  ~Transaction();
  void Commit();
  /// Before its time.
  void End();

 private:
  struct Open;
  std::unique_ptr<Open> open_;
};

}  // namespace twi::testing

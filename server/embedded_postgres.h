#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/child_process.h"

namespace twi::server {

/// A PostgreSQL cluster of our own, for those who have none: kept in a directory, reached through a
/// Unix socket in it by whoever may enter it (its owner; as root the user postgres owns it and runs
/// the database), and ended with this process, also when that is killed. What was committed is
/// there at the next start.
///
/// In the directory: `data`, the cluster, complete from the moment it is there; `postgres.log`, and
/// `postgres.log.1` of the start before; `twi-data.lock`, locked while it is in use.
class EmbeddedPostgres {
 public:
  /// Starts the cluster of `directory`, which is made when it is not there, and waits until it
  /// answers. Call it from a thread that lives as long as the process. FAILED_PRECONDITION with
  /// what stands in the way: another process that serves it, a directory with other things in it,
  /// PostgreSQL not being installed, the end of the database's own log.
  static absl::StatusOr<std::unique_ptr<EmbeddedPostgres>> Start(const std::string& directory);

  EmbeddedPostgres(const EmbeddedPostgres&) = delete;
  EmbeddedPostgres& operator=(const EmbeddedPostgres&) = delete;
  ~EmbeddedPostgres();

  /// `host=DIR port=P user=twi dbname=twi`; the user is a superuser.
  const std::string& dsn() const { return dsn_; }

  /// Whether the database has not ended by itself. For any thread.
  bool Running() const { return postgres_ && postgres_->Running(); }

  /// Ends the database and gives the directory free. DEADLINE_EXCEEDED when it would not end in
  /// good order and was ended at once: nothing is lost, but the next start takes longer.
  absl::Status Stop();

 private:
  EmbeddedPostgres() = default;

  absl::Status Lock();
  absl::Status AwaitPredecessor() const;
  absl::Status OpenLog();
  absl::Status CreateCluster() const;
  absl::Status ChooseSocketDirectory();
  absl::Status StartPostgres();
  absl::Status Run(std::vector<std::string> arguments, std::string input) const;
  std::string Failure(const std::string& what) const;

  std::string directory_;
  std::string binaries_;  ///< The folder of initdb and postgres.
  std::optional<Account> account_;
  std::string socket_directory_;
  std::string dsn_;
  int lock_ = -1;
  int log_ = -1;
  std::optional<ChildProcess> postgres_;
};

}  // namespace twi::server

#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sql/errors.h"
#include "sql/parameters.h"
#include "sql/rows.h"
#include "sql/statement.h"

struct pg_conn;

namespace twi::sql {

/// What a connection is opened with.
struct ConnectionOptions {
  std::string dsn;  ///< A libpq connection string or URI; libpq's own PG* variables fill its gaps.
  absl::Duration connect_timeout = absl::Seconds(10);
  /// Every transaction is read only unless it says otherwise.
  bool read_only = false;
  /// How long a statement waits for a lock; zero: as long as it may run.
  absl::Duration lock_timeout;
};

/// One connection in pipeline mode: statements are sent without waiting for answers, which come in
/// order. Binary results. Used and destroyed on the thread of its event loop only.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  /// What hears the answers. Called on the loop's thread, never from inside a sending function.
  class Listener {
   public:
    virtual ~Listener() = default;
    /// The next statement sent was run.
    virtual void OnRows(Rows rows) = 0;
    /// The next statement failed, and all until the next Sync with it: they are not run, and
    /// OnSkipped comes for each.
    virtual void OnError(DatabaseError error) = 0;
    virtual void OnSkipped() = 0;
    /// The Sync is through: what ran since the one before is committed, unless `error` is set: it
    /// failed at the commit, as a deferred constraint does.
    virtual void OnSync(const DatabaseError* error) = 0;
    /// The connection is lost; no further call comes. Outstanding statements have no answer.
    virtual void OnBroken(DatabaseError error) = 0;
  };

  /// Connects and configures, blocking for at most twice the connect timeout: for worker threads.
  static absl::StatusOr<std::shared_ptr<Connection>> Open(const ConnectionOptions& options,
                                                          asio::io_context& loop);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// From now on `listener` hears the answers. It must outlive the connection or Close.
  void Listen(Listener* listener);
  /// No answer is heard any more and the socket is closed.
  void Close();

  /// Queues one execution; prepares the statement before its first.
  void Send(const Statement& statement, const Parameters& parameters);
  /// Ends a transaction of statements: they commit together or not at all.
  void Sync();
  /// Puts what was queued on the wire.
  void Flush();

  /// Gives a function that cancels whatever the connection runs when it is called, by any thread:
  /// it blocks until the server has taken the cancel, and stays usable when the connection is gone.
  std::function<void()> PrepareCancel() const;

  /// Outside any transaction, as it must be after each Sync.
  bool idle() const;
  bool broken() const { return broken_; }

 private:
  enum class Expected { kPrepare, kExecution, kSync };
  struct Answer {
    Expected expected;
    const Statement* statement;
  };

  Connection(pg_conn* connection, asio::io_context& loop);

  void WaitReadable();
  void WaitWritable();
  void Receive();
  /// Handles one result of the answer that is due.
  void Take(pg_result* result);
  void Break();
  void PostBreak();

  pg_conn* connection_;
  asio::posix::stream_descriptor socket_;
  Listener* listener_ = nullptr;
  std::deque<Answer> answers_;
  absl::flat_hash_set<const Statement*> prepared_;
  /// The answer due next has had a result; the NULL that ends it is to come.
  bool answered_ = false;
  /// A preparation failed; the execution behind it, which the server skips, is told of the error.
  bool preparation_failed_ = false;
  /// What a Sync that is due will report.
  DatabaseError sync_error_;
  bool sync_failed_ = false;
  bool waiting_writable_ = false;
  bool broken_ = false;
};

}  // namespace twi::sql

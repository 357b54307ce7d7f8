#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sql/errors.h"
#include "sql/parameters.h"
#include "sql/rows.h"
#include "sql/statement.h"

struct pg_conn;
struct pg_result;

namespace twi::sql {

class Copying;
class Transfer;

/// What a connection is opened with.
struct ConnectionOptions {
  std::string dsn;  ///< A libpq connection string or URI; libpq's own PG* variables fill its gaps.
  absl::Duration connect_timeout = absl::Seconds(10);
  /// Every transaction is read only unless it says otherwise.
  bool read_only = false;
  /// How long a statement may run; zero: as long as it wants.
  absl::Duration statement_timeout;
  /// How long a statement waits for a lock; zero: as long as it may run.
  absl::Duration lock_timeout;
  /// How long a transaction may lie idle before the database ends it, and the connection with it.
  absl::Duration idle_in_transaction = absl::Seconds(30);
  /// After which a connection is worn, less up to a tenth: they are not to wear out together.
  absl::Duration lifetime = absl::Minutes(30);
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
    /// The connection is lost; no further call comes. Outstanding statements have no answer. The
    /// error has a state when nothing was outstanding and the server said why it ended.
    virtual void OnBroken(DatabaseError error) = 0;
    /// Whether it wants to know how many bytes come; asked each time when some do.
    virtual bool CountsBytes() const { return false; }
    virtual void OnBytes(size_t) {}
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
  /// The same, and calls `gone` on the loop's thread once the server has let go of the connection,
  /// too, or has not for a second.
  void Leave(std::function<void()> gone);

  /// Queues one execution; prepares the statement before its first. One without a name is prepared
  /// each time, but for several times in a row before a Sync, and may go when its answer is there.
  ///
  /// A statement whose preparation turns out to be lost, or made for rows of another type, fails
  /// with a `stale` error and is prepared anew when it is sent the next time.
  void Send(const Statement& statement, const Parameters& parameters);
  /// Queues the description of a statement; prepares it before.
  void Describe(const Statement& statement);
  /// Has the answers to what was sent come before the end of its transaction, and not with it.
  void RequestAnswers();
  /// Ends a transaction of statements: they commit together or not at all.
  void Sync();
  /// Queues what undoes everything that statements may have left behind in the session, in one
  /// transaction. REQUIRES: outside any transaction.
  void Reset();
  /// Puts what was queued on the wire.
  void Flush();
  /// Runs a COPY by itself. Its end is told as that of a statement and its Sync are, without rows.
  /// REQUIRES: nothing is queued or outstanding.
  void Begin(std::shared_ptr<Copying> copying);
  /// The COPY that runs, or null.
  Transfer* transfer() const { return transfer_.get(); }

  /// Gives a function that cancels whatever the connection runs when it is called, by any thread:
  /// it blocks until the server has taken the cancel, and stays usable when the connection is gone.
  std::function<void()> PrepareCancel() const;

  /// What holds after a Sync.
  enum class Transaction { kNone, kOpen, kFailed };
  Transaction transaction() const;
  bool idle() const { return connection_ != nullptr && transaction() == Transaction::kNone; }
  bool broken() const { return broken_; }
  /// It has reached its lifetime.
  bool worn() const { return std::chrono::steady_clock::now() >= worn_at_; }

 private:
  friend class Transfer;

  enum class Expected { kPrepare, kExecution, kSync };
  struct Answer {
    Expected expected;
    const Statement* statement;
  };

  Connection(pg_conn* connection, asio::io_context& loop, const ConnectionOptions& options);

  void WaitReadable();
  void WaitWritable();
  size_t BytesWaiting();
  void Receive();
  /// Takes what the server says unasked. Its last words are kept.
  void ReceiveUnasked();
  static void TakeNotice(void* connection, const pg_result* notice);
  static DatabaseError ErrorOf(const pg_result* result);
  /// Where the server was, in its language: it quotes values.
  static std::string ContextOf(const pg_result* result);
  /// The name that the connection has the statement prepared under, or will have.
  std::string NameOf(const Statement& statement, int generation) const;
  void Forget(const Statement& statement, const DatabaseError& error);
  /// Queues the preparation of a statement that is not prepared yet; gives its name.
  std::string Prepare(const Statement& statement);
  /// Handles one result of the answer that is due.
  void Take(pg_result* result);
  void EndCopy(const std::optional<DatabaseError>& error);
  void Break();
  void PostBreak();

  pg_conn* connection_;
  asio::posix::stream_descriptor socket_;
  Listener* listener_ = nullptr;
  std::deque<Answer> answers_;
  /// The generation that each prepared statement's name is of. A name that was lost or outdated is
  /// not used again, as the server may still have it.
  absl::flat_hash_map<const Statement*, int> prepared_;
  int generation_ = 0;
  /// What was prepared without a name since the last Sync, at last.
  const Statement* unnamed_ = nullptr;
  /// Makes the session what `options` say.
  const Statement settings_;
  const std::chrono::steady_clock::time_point worn_at_;
  /// What the server said at last while nothing was outstanding.
  DatabaseError farewell_;
  /// The answer due next has had a result; the NULL that ends it is to come.
  bool answered_ = false;
  /// A preparation failed; the execution behind it, which the server skips, is told of the error.
  bool preparation_failed_ = false;
  /// What a Sync that is due will report.
  DatabaseError sync_error_;
  bool sync_failed_ = false;
  std::unique_ptr<Transfer> transfer_;
  int64_t notices_ = 0;
  bool reading_ = false;
  bool waiting_writable_ = false;
  bool broken_ = false;
};

}  // namespace twi::sql

#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "sql/activity.h"
#include "sql/connection.h"
#include "sql/copying.h"
#include "sql/execution.h"

namespace twi::sql {

// Transactions of a session begin and end with these and no others: what a break means depends on
// which of them was under way.
inline const Statement kBegin = {"twi_data_begin", "begin"};
inline const Statement kCommit = {"twi_data_commit", "commit", false};
inline const Statement kRollback = {"twi_data_rollback", "rollback"};

/// A connection used by one caller at a time, for one statement at a time. Nothing is run twice.
///
/// A statement is cancelled when its deadline passes or its caller gives up. A cancel names a
/// connection, not a statement, so the session sends no other until the cancel is through.
///
/// On the loop's thread. Callbacks may drop the session.
class Session : private Connection::Listener, public std::enable_shared_from_this<Session> {
 public:
  using Transaction = Connection::Transaction;

  /// What a run came to.
  struct Ending {
    const DatabaseError* error = nullptr;    ///< Null when it went well or was not sent.
    bool sent = false;                       ///< False: the execution has its status.
    bool broken = false;                     ///< The connection is gone.
    bool cancelled = false;                  ///< By us.
    bool too_large = false;                  ///< That is why.
    Transaction began = Transaction::kNone;  ///< What it found.
  };
  using Done = std::function<void(const Ending&)>;

  /// What happens to a session beside its runs.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// It is ready again, after its last run's cancel.
    virtual void OnReady(Session* session) = 0;
    /// The connection broke; if something ran, its ending follows.
    virtual void OnLost(Session* session, const DatabaseError& error) = 0;
  };

  /// `workers` run what blocks: cancels.
  Session(std::shared_ptr<Connection> connection, asio::io_context& loop,
          asio::thread_pool& workers, Owner* owner);
  ~Session() override;

  /// Runs it; `done` is called when its rows or error are there. REQUIRES: nothing runs.
  void Run(Execution* execution, Done done);
  /// The same for a COPY; `done` is called when it is over.
  void Run(std::shared_ptr<Copying> copying, Done done);
  /// Goes on with a COPY whose caller did something, unless it is over.
  void Move(const Copying* copying);
  /// Undoes what callers may have left behind. REQUIRES: as for Run, and outside any transaction.
  void Reset(Done done) { Begin(std::move(done)); }

  /// Nothing runs, and no cancel is on its way.
  bool ready() const { return !running() && !cancelling_; }
  bool running() const { return done_ != nullptr; }
  /// The COPY that runs, or null.
  const Copying* copying() const { return copying_.get(); }
  Transaction transaction() const { return transaction_; }
  bool worn() const { return connection_->worn(); }
  /// Tells what runs, if anything does.
  void Tell(ConnectionActivity* told) const;

  /// Closes the connection as if it had broken.
  void Break();
  /// Closes the connection; see Connection::Leave. REQUIRES: nothing runs but a COPY, perhaps,
  /// which ends as if the connection had broken.
  void Leave(std::function<void()> gone);

 private:
  void OnRows(Rows rows) override;
  void OnError(DatabaseError error) override;
  void OnSkipped() override {}
  void OnSync(const DatabaseError* error) override;
  void OnBroken(DatabaseError error) override;
  bool CountsBytes() const override;
  void OnBytes(size_t count) override;

  void Begin(Done done);
  void Send();
  /// Looks again after `pause`, or at the deadline, whether the statement is still wanted.
  void Look(Clock::time_point when);
  Clock::time_point Deadline() const;
  bool Wanted() const;
  void Cancel();
  void Cancelled();
  void Lose(const DatabaseError& error);

  asio::io_context& loop_;
  asio::thread_pool& workers_;
  Owner* const owner_;
  std::shared_ptr<Connection> connection_;
  Transaction transaction_ = Transaction::kNone;
  asio::steady_timer timer_;
  /// What runs: one of them, or none, which is a reset.
  Execution* execution_ = nullptr;
  std::shared_ptr<Copying> copying_;
  Done done_;
  bool sent_ = false;
  /// The answer due next is the snapshot that the execution wants.
  bool taking_snapshot_ = false;
  Clock::time_point sent_at_;
  std::optional<DatabaseError> error_;
  bool cancelled_ = false;
  uint64_t bytes_ = 0;  ///< That came since the statement was sent, where they are counted.
  bool too_large_ = false;
  /// A cancel is on its way; it would hit whatever runs.
  bool cancelling_ = false;
};

}  // namespace twi::sql

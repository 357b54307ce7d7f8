#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "sql/activity.h"
#include "sql/batch_size.h"
#include "sql/conduct.h"
#include "sql/connection.h"
#include "sql/execution.h"
#include "sql/fair_queue.h"
#include "sql/pace.h"
#include "sql/unit.h"
#include "sql/validation.h"

namespace twi::sql {

/// One connection shared by many callers. What gathers while a batch is under way is the next
/// batch: its statements are sent together behind one Sync, and so are one transaction. Callers of
/// a set whose keys differ share one statement of it, and so do those of one read.
///
/// Nobody is answered before the Sync. When a statement fails, the answers of a read batch that are
/// already there stand, and everything else runs again in parts, so that a failure is its own
/// caller's alone. Reads and writes have lanes of their own: a failing read must not undo a write.
///
/// Everything but Submit, waiting() and busy() is called on the loop's thread.
class Lane : private Connection::Listener {
 public:
  enum class Kind { kRead, kWrite };

  /// `lost` is called when the connection is gone; a new one comes by Attach. `alone` takes over
  /// what must not share a batch; `conduct` says what that is. Nobody waits longer than `max_wait`.
  Lane(Kind kind, BatchLimits limits, Clock::duration max_wait, asio::io_context& loop,
       Conduct& conduct, std::function<void(Execution*)> alone,
       std::function<void(DatabaseError)> lost);
  ~Lane() override;

  /// Takes an execution, from any thread. False when it is refused, because the database is down,
  /// too many wait, or it would wait beyond its deadline: its status says why, and `done` is not
  /// called.
  bool Submit(Execution* execution);

  /// How many executions wait for a batch. Any thread.
  int waiting() const;

  Kind kind() const { return kind_; }
  bool connected() const { return connection_ != nullptr; }
  /// Any thread.
  bool busy() const { return busy_; }
  ConnectionActivity activity() const;

  void Attach(std::shared_ptr<Connection> connection);
  /// Goes over to another connection between two batches; `retired` then gets the present one, or
  /// null when that was lost before.
  using Retired = std::function<void(std::shared_ptr<Connection>)>;
  void Replace(std::shared_ptr<Connection> connection, Retired retired);
  /// The present connection has reached its lifetime.
  bool worn() const { return connection_ != nullptr && connection_->worn(); }
  /// Asks the connection for an answer if the lane is free; one without an answer is lost.
  void Ask(const std::shared_ptr<Validating>& validating);
  /// Answers everything that waits with `status`, and whatever is submitted until the next Attach.
  void Refuse(const absl::Status& status);
  /// Closes the connection; its batch is answered, or waits with the rest for Attach or Refuse.
  void Close();

 private:
  using Batch = std::vector<Unit>;
  using Callers = std::vector<Execution*>;

  void OnRows(Rows rows) override;
  void OnError(DatabaseError error) override;
  void OnSkipped() override;
  void OnSync(const DatabaseError* error) override;
  void OnBroken(DatabaseError error) override;

  /// What was asked of the connection has an answer, or will have none; false when nothing was.
  bool Answered(bool alive);
  /// Sends the next batch, if the lane is free and anything waits.
  void Start();
  /// Without a connection it goes over to the replacement or asks for another.
  void Lose(DatabaseError error);
  void TakeReplacement();
  /// The next batch: one that runs again, or what has gathered.
  Batch Next();
  /// How many callers that takes at most.
  size_t Most();
  /// Whether a member wants what the flag says.
  static bool Wants(const Batch& batch, bool Execution::*what);
  /// One more answer of the batch has come.
  void Advance();
  /// What the members of a batch that went through tell of their conduct and of the lane's pace.
  void Observe(const Batch& batch, bool ok);
  /// Decides what each caller of a failed batch gets: an answer or another run.
  void Sort(const Batch& batch, const DatabaseError& error, Callers* answered);
  /// What the culprit of a failed batch gets.
  void Judge(const Unit& culprit, const DatabaseError& error, bool alone, Callers* answered);
  void RunAgain(Callers callers);
  /// In two halves, as it is not known whose fault it was.
  void RunAgainHalved(const Callers& callers);
  /// Without its connection a batch runs again on the next one, if that may be; the rest is
  /// returned to be answered.
  Callers GiveUp(const DatabaseError& error);

  const Kind kind_;
  const BatchLimits limits_;
  asio::io_context& loop_;
  Conduct& conduct_;
  const std::function<void(Execution*)> alone_;
  const std::function<void(DatabaseError)> lost_;
  std::shared_ptr<Connection> connection_;
  /// What takes its place at the next batch.
  std::shared_ptr<Connection> replacement_;
  Retired retired_;

  mutable std::mutex mutex_;
  /// What waits. Guarded by mutex_.
  FairQueue<Execution*> queue_;
  /// The loop has nothing to do for this lane and must be woken. Guarded by mutex_.
  bool asleep_ = true;
  /// Why submissions are refused. Guarded by mutex_.
  absl::Status refusal_;
  /// Of its callers.
  Pace pace_;
  BatchSize size_;
  /// Who was last in a batch, and when another one was before him.
  const Flow* flow_ = nullptr;
  Clock::time_point changed_at_;

  /// Batches that failed as a whole and run again in parts, before anything new.
  std::deque<Callers> again_;
  /// Under way.
  Batch batch_;
  std::atomic<bool> busy_{false};
  Clock::time_point sent_at_;
  /// When its last answer came, which its end may follow much later.
  Clock::time_point answered_at_;
  /// The unit whose answer is due next.
  size_t position_ = 0;
  /// The unit that failed, and why.
  std::optional<size_t> failed_;
  DatabaseError error_;
  /// The answer due next is the snapshot that members of the batch want.
  bool taking_snapshot_ = false;
  /// A statement failed that is nobody's: one that tells the snapshot or the transaction.
  bool own_failed_ = false;
  /// What all of the batch could see at least.
  std::optional<Snapshot> snapshot_;
  /// What is committed with the batch.
  std::optional<uint64_t> transaction_;
  /// Who asked for an answer that is to come, and for how long it is waited for.
  std::shared_ptr<Validating> asked_;
  asio::steady_timer patience_;
  /// Whose dead connection the next one replaces.
  std::shared_ptr<Validating> restored_;
};

}  // namespace twi::sql

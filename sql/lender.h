#pragma once

#include <array>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "sql/activity.h"
#include "sql/conduct.h"
#include "sql/connector.h"
#include "sql/fair_queue.h"
#include "sql/flow.h"
#include "sql/lease.h"
#include "sql/pace.h"
#include "sql/session.h"
#include "sql/validation.h"
#include "sql/waiter.h"

namespace twi::sql {

/// Lends sessions: to callers, for as long as they want, and to what must not hold up a lane, for
/// one statement. Who waits is served in fair order, whatever he wants: the time for which sessions
/// are held is shared between flows by their weights. For how long a flow is going to hold one is
/// known from those it had lately.
///
/// There are read-only sessions, for reads that run alone, and read-write ones for all else. They
/// share one limit: where it is reached, a free one of the other kind is closed to make room.
/// Sessions are opened when they are needed, and closed when they were free for long, down to a
/// number that is always kept.
///
/// Everything but Submit and the numbers is called on the loop's thread.
class Lender : private Session::Owner {
 public:
  struct Options {
    ConnectionOptions connection;
    int most = 16;  ///< Connections at most, those included that are about to end.
    int least = 3;  ///< Connections that are kept.
    Clock::duration idle = std::chrono::seconds(300);
    /// Longer nobody waits for a session.
    Clock::duration max_wait = Clock::duration::max();
  };

  /// `workers` run what blocks: cancels. `changed` is called when a session has come or gone.
  Lender(const Options& options, asio::io_context& loop, asio::thread_pool& workers,
         Conduct& conduct, Connector& connector, std::function<void()> changed);
  ~Lender() override;

  /// Opens the sessions that are always kept.
  void Start();
  /// A connection beside its own was opened: the database is there.
  void Reached();
  /// Runs it by itself as soon as there is a session.
  void Run(Execution* execution);
  /// Takes a wish for a session, from any thread. False when it is refused, because the database is
  /// down or too many wait: its status says why, and `done` is not called.
  bool Submit(Loan* loan);
  /// Asks all free sessions for an answer; others take the place of those without one.
  void Validate(const std::shared_ptr<Validating>& validating);
  /// Closes the sessions for good and answers everything that waits, runs or comes with `status`;
  /// the outcome of a write or commit that ran is unknown.
  void Stop(const absl::Status& status);

  struct Numbers {
    int connections = 0;
    int busy = 0;  ///< Running, lent or being reset.
    int waiting = 0;
    int64_t closed_idle = 0;
    int64_t closed_lifetime = 0;
    int64_t closed_room = 0;   ///< To make room for the other kind.
    int64_t closed_reset = 0;  ///< Given back inside a transaction, or not to be reset.
    int64_t broken = 0;
  };
  /// Any thread.
  Numbers numbers() const;
  std::vector<ConnectionActivity> activity() const;

 private:
  friend class Copy;
  friend class Lease;
  friend struct Lent;

  enum Kind { kRead, kWrite };
  enum class State { kFree, kBusy, kLent };

  struct Place {
    Place(std::shared_ptr<Session> opened, Kind its_kind)
        : session(std::move(opened)), kind(its_kind) {}
    const std::shared_ptr<Session> session;
    const Kind kind;
    State state = State::kFree;
    Clock::time_point free_since;
    /// Who has it, and since when: while somebody does.
    const Flow* flow = nullptr;
    std::optional<Clock::time_point> given_at;
    std::shared_ptr<Lent> lent;
    /// Who has asked it for an answer.
    std::shared_ptr<Validating> validating;
  };
  using Places = std::list<Place>;

  void OnReady(Session* session) override;
  void OnLost(Session* session, const DatabaseError& error) override;

  static Kind KindOf(const Waiter& waiter) { return waiter.read_only() ? kRead : kWrite; }

  void Enqueue(const Waiter& waiter);
  const Flow& Known(const Flow* flow) const { return flow == nullptr ? everybody_ : *flow; }
  /// For how long the flow is going to hold a session, as far as is known.
  Clock::duration Expected(const Flow* flow) const;
  /// A flow has held one for so long.
  void Observe(const Flow* flow, Clock::duration held);
  /// Gives free sessions to those who wait, and opens more where there are too few.
  void Serve();
  void Give(Places::iterator place, const Waiter& waiter);
  Places::iterator FindFree(Kind kind);
  /// Opens what is missing to the number that is always kept.
  void Keep();
  /// `validating`: in place of one that it found dead.
  void Open(Kind kind, std::shared_ptr<Validating> validating = nullptr);
  void Opened(Kind kind, Clock::time_point begun,
              absl::StatusOr<std::shared_ptr<Connection>> connection);
  void Pause();
  bool Full() const;
  /// Why those who want a session of that kind are refused at once; OK when they may wait.
  absl::Status Refusal(Kind kind) const;

  /// What came of a statement that ran alone: an answer, or another run.
  void Settle(Places::iterator place, Execution* execution, const Session::Ending& ending);

  void Ask(Places::iterator place, const std::shared_ptr<Validating>& validating);

  void RunLent(Lent* lent, Execution* execution);
  void Answer(Execution* execution, const Session::Ending& ending) const;
  void RunLent(Lent* lent, const std::shared_ptr<Copying>& copying);
  CopyOutcome OutcomeOf(const Copying& copying, const Session::Ending& ending) const;
  /// Closes a session whose COPY nobody is going to end.
  void Drop(Lent* lent, const Copying* copying);
  void TakeBack(Lent* lent);

  void Free(Places::iterator place);
  void Close(Places::iterator place, int64_t Numbers::*reason);
  Places::iterator Find(const Session* session);
  /// Looks now and then whether those who wait still do.
  void Look();
  /// Looks now and then which sessions were free for long or are worn.
  void Tend();
  /// Answers those who wait and are refused now.
  void Drop();
  void SetState(Places::iterator place, State state);
  void Erase(Places::iterator place);
  /// Makes the numbers and the refusal of loans what they are now.
  void Count();

  const Options options_;
  asio::io_context& loop_;
  asio::thread_pool& workers_;
  Conduct& conduct_;
  Connector& connector_;
  const std::function<void()> changed_;

  /// Those free for the shortest time first.
  Places places_;
  FairQueue<Waiter> queue_;
  /// Of those who waited.
  Pace pace_;
  /// For what is known of null.
  const Flow everybody_;
  /// For how long sessions were held lately, whoever had them.
  Clock::duration held_ = std::chrono::milliseconds(1);
  /// When the last of them got a session, or the first of them came.
  Clock::time_point given_at_;
  // By kind:
  std::array<int, 2> sessions_{};
  std::array<int, 2> opening_{};
  /// Closed by us, and not known to be gone on the other side.
  int leaving_ = 0;
  /// The last connect failed.
  bool down_ = false;
  Clock::time_point reached_at_ = Clock::time_point::min();
  Backoff backoff_;
  asio::steady_timer pause_;
  bool pausing_ = false;
  asio::steady_timer look_;
  bool looking_ = false;
  asio::steady_timer tend_;
  /// OK until the lender has stopped.
  absl::Status stopped_;

  mutable std::mutex mutex_;
  /// All guarded by mutex_.
  Numbers numbers_;
  absl::Status refusal_;
  /// Loans on their way to the loop's thread.
  FairQueue<Loan*> arriving_;
};

/// A session that is lent, as both sides see it.
struct Lent {
  std::mutex mutex;
  /// Null when it has stopped. Guarded by mutex; changes on the loop's thread only.
  Lender* lender;
  // On the loop's thread:
  /// Null when the session is gone; `loss` says why.
  std::shared_ptr<Session> session;
  DatabaseError loss;
};

}  // namespace twi::sql

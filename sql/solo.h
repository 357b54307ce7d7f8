#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>
#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <memory>

#include "sql/conduct.h"
#include "sql/connection.h"
#include "sql/execution.h"

namespace twi::sql {

/// Connections that run one statement at a time: those that must not hold up a lane. They are
/// opened when they are needed and closed when they have been idle for long.
///
/// A statement that runs here is cancelled when its deadline passes or its caller gives up. A
/// cancel names a connection, not a statement, so the connection takes no other until the cancel is
/// through.
///
/// Everything but the numbers is called on the loop's thread.
class Solo {
 public:
  struct Options {
    ConnectionOptions connection;
    int most = 8;  ///< Connections at most.
    Clock::duration idle = std::chrono::seconds(300);
  };
  using Opened = std::function<void(absl::StatusOr<std::shared_ptr<Connection>>)>;
  /// Opens a connection elsewhere and answers on the loop's thread.
  using Open = std::function<void(const ConnectionOptions&, Opened)>;

  /// `workers` run what blocks: cancels.
  Solo(Options options, asio::io_context& loop, asio::thread_pool& workers, Conduct& conduct,
       Open open);
  ~Solo();

  /// Runs it as soon as there is a connection.
  void Run(Execution* execution);

  /// Closes the connections for good and answers everything that waits, runs or comes with
  /// `status`; the outcome of a write that ran is unknown.
  void Refuse(const absl::Status& status);

  /// Any thread.
  int connections() const { return connections_; }
  int busy() const { return busy_; }
  int waiting() const { return waiting_; }
  /// Connections that broke, since the start.
  int64_t broken() const { return broken_; }

 private:
  class Place;

  /// Gives what waits to idle connections, and opens more where there are too few.
  void Start();
  void OpenPlace();
  /// What came of a run: an answer, or another run.
  void Settle(Execution* execution, const DatabaseError* error, bool cancelled);
  void Remove(Place* place);
  /// Opens no connection for a while.
  void Pause();
  /// Answers what waits.
  void Drop(const absl::Status& status);

  const Options options_;
  asio::io_context& loop_;
  asio::thread_pool& workers_;
  Conduct& conduct_;
  const Open open_;
  std::atomic<int> connections_{0};
  std::atomic<int> busy_{0};
  std::atomic<int> waiting_{0};
  std::atomic<int64_t> broken_{0};
  std::list<std::unique_ptr<Place>> places_;
  std::deque<Execution*> queue_;
  absl::Status refusal_;
  int opening_ = 0;
  asio::steady_timer pause_;
  bool pausing_ = false;
};

}  // namespace twi::sql

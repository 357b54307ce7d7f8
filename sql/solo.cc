#include "sql/solo.h"

#include <asio/post.hpp>
#include <optional>
#include <utility>

namespace twi::sql {
namespace {

// How soon a caller who gives up is noticed.
constexpr std::chrono::milliseconds kLook{20};
// After a connect that failed, before the next.
constexpr std::chrono::milliseconds kPause{100};

absl::Status Unavailable() {
  return Error(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE",
               "the database is not available");
}

}  // namespace

/// A connection and the statement that it runs.
class Solo::Place : private Connection::Listener {
 public:
  Place(Solo& solo, std::shared_ptr<Connection> connection)
      : solo_(solo), connection_(std::move(connection)), timer_(solo.loop_) {
    ++solo_.connections_;
    connection_->Listen(this);
    WaitIdle();
  }

  ~Place() override {
    if (connection_) connection_->Close();
    --solo_.connections_;
  }

  bool free() const { return execution_ == nullptr && !cancelling_; }

  void Run(Execution* execution) {
    ++solo_.busy_;
    execution_ = execution;
    ++execution->attempts;
    execution->rows = Rows();
    error_.reset();
    cancelled_ = false;
    sent_at_ = Clock::now();
    connection_->Send(*execution->statement, execution->parameters);
    connection_->Sync();
    connection_->Flush();
    Look();
  }

  /// Without its connection: what ran has no known outcome.
  void Break(DatabaseError error) {
    std::exchange(connection_, nullptr)->Close();
    timer_.cancel();
    Execution* execution = std::exchange(execution_, nullptr);
    Solo& solo = solo_;
    if (execution != nullptr) --solo.busy_;
    solo.Remove(this);
    if (execution != nullptr) solo.Settle(execution, &error, false);
  }

 private:
  void OnRows(Rows rows) override {
    execution_->rows = std::move(rows);
    execution_->run_time = Clock::now() - sent_at_;
  }
  void OnError(DatabaseError error) override {
    execution_->run_time = Clock::now() - sent_at_;
    error_ = std::move(error);
  }
  void OnSkipped() override {}
  void OnSync(const DatabaseError* error) override {
    if (error != nullptr && !error_) error_ = *error;
    timer_.cancel();
    Execution* execution = std::exchange(execution_, nullptr);
    --solo_.busy_;
    execution->solo = true;
    const std::optional<DatabaseError> failure = std::exchange(error_, std::nullopt);
    const bool cancelled = cancelled_;
    Solo& solo = solo_;
    if (!connection_->idle()) {
      solo.Remove(this);
    } else if (!cancelling_) {
      WaitIdle();
    }
    solo.Settle(execution, failure ? &*failure : nullptr, cancelled);
  }
  void OnBroken(DatabaseError error) override {
    ++solo_.broken_;
    Break(std::move(error));
  }

  /// Looks now and then whether the statement is still wanted.
  void Look() {
    timer_.expires_at(std::min(execution_->deadline, Clock::now() + kLook));
    timer_.async_wait([this, alive = std::weak_ptr(alive_)](const std::error_code& error) {
      if (error || alive.expired() || execution_ == nullptr) return;
      if (Clock::now() < execution_->deadline && !execution_->abandoned()) return Look();
      Cancel();
    });
  }

  void Cancel() {
    cancelled_ = true;
    cancelling_ = true;
    asio::post(solo_.workers_, [this, &loop = solo_.loop_, alive = std::weak_ptr(alive_),
                                cancel = connection_->PrepareCancel()] {
      cancel();
      asio::post(loop, [this, alive] {
        if (alive.expired()) return;
        cancelling_ = false;
        if (execution_ != nullptr) return;
        WaitIdle();
        solo_.Start();
      });
    });
  }

  void WaitIdle() {
    timer_.expires_after(solo_.options_.idle);
    timer_.async_wait([this, alive = std::weak_ptr(alive_)](const std::error_code& error) {
      if (!error && !alive.expired() && free()) solo_.Remove(this);
    });
  }

  Solo& solo_;
  std::shared_ptr<Connection> connection_;
  asio::steady_timer timer_;
  Execution* execution_ = nullptr;
  Clock::time_point sent_at_;
  std::optional<DatabaseError> error_;
  bool cancelled_ = false;
  /// A cancel is on its way; it would hit whatever runs.
  bool cancelling_ = false;
  /// Lets a cancel that comes back see that the place is gone.
  std::shared_ptr<int> alive_ = std::make_shared<int>();
};

Solo::Solo(Options options, asio::io_context& loop, asio::thread_pool& workers, Conduct& conduct,
           Open open)
    : options_(std::move(options)),
      loop_(loop),
      workers_(workers),
      conduct_(conduct),
      open_(std::move(open)),
      pause_(loop) {}

Solo::~Solo() = default;

void Solo::Run(Execution* execution) {
  if (!refusal_.ok()) execution->status = refusal_;
  if (!refusal_.ok() || execution->Expire()) return execution->done();
  ++waiting_;
  queue_.push_back(execution);
  Start();
}

void Solo::Start() {
  for (auto& place : places_) {
    if (!place->free()) continue;
    while (!queue_.empty()) {
      Execution* execution = queue_.front();
      queue_.pop_front();
      --waiting_;
      if (!execution->Expire()) {
        place->Run(execution);
        break;
      }
      execution->done();
    }
  }
  while (!pausing_ && opening_ < static_cast<int>(queue_.size()) &&
         connections_ + opening_ < options_.most) {
    OpenPlace();
  }
}

void Solo::OpenPlace() {
  ++opening_;
  open_(options_.connection, [this](absl::StatusOr<std::shared_ptr<Connection>> connection) {
    --opening_;
    if (!refusal_.ok()) {
      if (connection.ok()) (*connection)->Close();
      return;
    }
    if (connection.ok()) {
      places_.push_back(std::make_unique<Place>(*this, *std::move(connection)));
    } else {
      Pause();
      // Nobody is left to run what waits.
      if (places_.empty() && opening_ == 0) Drop(Unavailable());
    }
    Start();
  });
}

void Solo::Pause() {
  pausing_ = true;
  pause_.expires_after(kPause);
  pause_.async_wait([this](const std::error_code& error) {
    pausing_ = false;
    if (!error) Start();
  });
}

void Solo::Drop(const absl::Status& status) {
  for (Execution* execution : std::exchange(queue_, {})) {
    --waiting_;
    execution->status = status;
    execution->done();
  }
}

void Solo::Settle(Execution* execution, const DatabaseError* error, bool cancelled) {
  if (error != nullptr) {
    const bool broken = error->sqlstate.empty();
    // A cancel that is not ours is an operator's against the connection, not against the caller.
    const bool passing = error->retry() == Retry::kStatement || error->sqlstate == "57014";
    if (cancelled && error->sqlstate == "57014") {
      execution->Expire();
    } else if (broken ? execution->SurvivesBreak(*error) : passing && execution->may_run_again()) {
      return Run(execution);
    } else if (!broken) {
      execution->Fail(*error);
    }
  }
  if (execution->solo) {
    conduct_.RanAlone(execution->statement, error == nullptr, execution->run_time);
  }
  Start();
  execution->done();
}

void Solo::Remove(Place* place) {
  places_.remove_if([place](const auto& held) { return held.get() == place; });
}

void Solo::Refuse(const absl::Status& status) {
  refusal_ = status;
  Drop(status);
  pause_.cancel();
  while (!places_.empty()) places_.front()->Break({"", "the connection was closed", "", ""});
}

}  // namespace twi::sql

#include "sql/pool.h"

#include <algorithm>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <ranges>
#include <thread>
#include <vector>

#include "sql/connector.h"
#include "sql/lane.h"
#include "sql/lender.h"

namespace twi::sql {
namespace {

// Connections that sessions never take: two read lanes, the write lane, and the one that is to
// replace one of them.
constexpr int kReserved = 4;

// A statement of a write batch that waits longer for a lock runs alone.
constexpr absl::Duration kLaneLockTimeout = absl::Milliseconds(20);

ConnectionOptions ConnectionOptionsOf(const PoolOptions& options) {
  return {.dsn = options.dsn,
          .connect_timeout = options.connect_timeout,
          .statement_timeout = absl::ZeroDuration(),
          .lock_timeout = absl::ZeroDuration(),
          .idle_in_transaction = options.idle_in_transaction,
          .lifetime = options.lifetime};
}

Lender::Options LenderOptionsOf(const PoolOptions& options) {
  const int most = std::max(1, options.max_connections - kReserved);
  return {.connection = ConnectionOptionsOf(options),
          .most = most,
          .least = std::clamp(options.min_connections - options.read_lanes - 1, 0, most),
          .idle = absl::ToChronoNanoseconds(options.idle),
          .max_wait = absl::ToChronoNanoseconds(options.max_wait)};
}

}  // namespace

class Pool::Core {
 public:
  explicit Core(PoolOptions options)
      : options_(std::move(options)), work_(asio::make_work_guard(loop_)) {
    for (int i = 0; i < options_.read_lanes; ++i) {
      lanes_.push_back(std::make_unique<Place>(*this, Lane::Kind::kRead));
    }
    lanes_.push_back(std::make_unique<Place>(*this, Lane::Kind::kWrite));
    thread_ = std::thread([this] { loop_.run(); });
    asio::post(loop_, [this] {
      for (const auto& place : lanes_) Open(*place);
      lender_.Start();
      Tend();
    });
  }

  ~Core() { Stop(); }

  /// The write lane, or the read lane with the least to do.
  Lane& LaneFor(const Execution& execution) {
    if (!execution.statement->read_only) return *lanes_.back()->lane;
    if (options_.read_lanes == 1) return *lanes_.front()->lane;
    const auto load = [](const auto& place) {
      return place->lane->waiting() + static_cast<int>(place->lane->busy());
    };
    return *(*std::ranges::min_element(lanes_.begin(), lanes_.end() - 1, {}, load))->lane;
  }

  Lender& lender() { return lender_; }

  absl::Status WaitConnected(absl::Duration timeout) {
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [this] { return Complete(); }))
      return absl::OkStatus();
    const std::string error = connector_.numbers().last_error;
    return absl::UnavailableError(error.empty() ? "the database did not answer in time" : error);
  }

  bool connected() const {
    std::lock_guard lock(mutex_);
    return Complete();
  }

  PoolNumbers numbers() const {
    const Lender::Numbers lent = lender_.numbers();
    const Connector::Numbers opened = connector_.numbers();
    PoolNumbers numbers;
    numbers.connecting = opened.connecting;
    numbers.opened = opened.opened;
    numbers.closed_idle = lent.closed_idle;
    numbers.closed_room = lent.closed_room;
    numbers.closed_reset = lent.closed_reset;
    numbers.busy = lent.busy;
    numbers.waiting = lent.waiting;
    for (const auto& place : lanes_) {
      numbers.busy += place->lane->busy();
      numbers.waiting += place->lane->waiting();
    }
    std::lock_guard lock(mutex_);
    numbers.closed_lifetime = lent.closed_lifetime + replaced_;
    numbers.lost = lent.broken + lost_;
    // They are read one by one while they change.
    numbers.idle = std::max(0, connected_ + lent.connections - numbers.busy);
    return numbers;
  }

  void Look(std::function<void(Activity)> told) {
    asio::post(loop_, [this, told = std::move(told)] {
      Activity activity;
      for (const auto& place : lanes_) activity.push_back(place->lane->activity());
      std::ranges::move(lender_.activity(), std::back_inserter(activity));
      told(std::move(activity));
    });
  }

  void Validate(Clock::duration patience, std::function<void(const Validation&)> done) {
    asio::post(loop_, [this, patience, done = std::move(done)]() mutable {
      const auto validating = std::make_shared<Validating>(patience, std::move(done));
      if (stopping_) return;
      for (const auto& place : lanes_) place->lane->Ask(validating);
      lender_.Validate(validating);
    });
  }

  void Stop() {
    if (!thread_.joinable()) return;
    asio::post(loop_, [this] {
      stopping_ = true;
      tend_.cancel();
      for (const auto& place : lanes_) {
        place->pause.cancel();
        place->lane->Close();
        place->lane->Refuse(ShuttingDown());
      }
      lender_.Stop(ShuttingDown());
    });
    connector_.Stop();
    cancellers_.join();
    work_.reset();
    thread_.join();
  }

 private:
  /// A lane and the efforts to keep it connected. On the loop's thread.
  struct Place {
    Place(Core& core, Lane::Kind kind)
        : connection(ConnectionOptionsOf(core.options_)),
          lane(std::make_unique<Lane>(
              kind, core.options_.batch, absl::ToChronoNanoseconds(core.options_.max_wait),
              core.loop_, core.conduct_,
              [&core](Execution* execution) { core.lender_.Run(execution); },
              [&core, this](const DatabaseError& error) { core.Lost(*this, error); })),
          pause(core.loop_) {
      connection.read_only = kind == Lane::Kind::kRead;
      connection.statement_timeout = core.conduct_.cut_off();
      if (kind == Lane::Kind::kWrite) connection.lock_timeout = kLaneLockTimeout;
    }
    ConnectionOptions connection;
    std::unique_ptr<Lane> lane;
    asio::steady_timer pause;
    Backoff backoff;
  };

  void Open(Place& place) {
    connector_.Open(place.connection,
                    [this, &place](absl::StatusOr<std::shared_ptr<Connection>> connection) {
                      Opened(place, std::move(connection));
                    });
  }

  void Opened(Place& place, absl::StatusOr<std::shared_ptr<Connection>> connection) {
    if (stopping_) {
      if (connection.ok()) (*connection)->Close();
      return;
    }
    if (connection.ok()) {
      place.backoff.Reset();
      options_.log("connected", "");
      Count([](Core& core) { ++core.connected_; });
      place.lane->Attach(*std::move(connection));
      return lender_.Reached();
    }
    place.lane->Refuse(DatabaseUnavailable());
    place.pause.expires_after(place.backoff.Next());
    place.pause.async_wait([this, &place](const std::error_code& error) {
      if (!error && !stopping_) Open(place);
    });
  }

  void Lost(Place& place, const DatabaseError& error) {
    Count([](Core& core) {
      --core.connected_;
      ++core.lost_;
    });
    options_.log("connection lost", error.message);
    if (!stopping_) Open(place);
  }

  /// Looks now and then whether a lane's connection is worn, and replaces it: one at a time.
  void Tend() {
    tend_.expires_after(std::min<std::chrono::nanoseconds>(
        std::chrono::seconds(1), absl::ToChronoNanoseconds(options_.lifetime) / 4));
    tend_.async_wait([this](const std::error_code& error) {
      if (error || stopping_) return;
      const auto worn =
          std::ranges::find_if(lanes_, [](const auto& place) { return place->lane->worn(); });
      if (worn != lanes_.end() && !replacing_) Replace(**worn);
      Tend();
    });
  }

  void Replace(Place& place) {
    replacing_ = true;
    connector_.Open(
        place.connection, [this, &place](absl::StatusOr<std::shared_ptr<Connection>> connection) {
          // A lane that was lost meanwhile has asked for a connection of its own.
          if (!connection.ok() || stopping_ || !place.lane->connected()) {
            if (connection.ok()) (*connection)->Close();
            replacing_ = false;
            return;
          }
          place.lane->Replace(*std::move(connection), [this](std::shared_ptr<Connection> old) {
            Count([&](Core& core) { ++(old == nullptr ? core.lost_ : core.replaced_); });
            if (old == nullptr) return void(replacing_ = false);
            old->Leave([this] { replacing_ = false; });
          });
        });
  }

  /// REQUIRES: the caller holds mutex_.
  bool Complete() const {
    return connected_ == static_cast<int>(lanes_.size()) &&
           lender_.numbers().connections >= LenderOptionsOf(options_).least;
  }

  template <typename Change>
  void Count(Change change) {
    {
      std::lock_guard lock(mutex_);
      change(*this);
    }
    changed_.notify_all();
  }

  const PoolOptions options_;
  asio::io_context loop_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  Connector connector_{loop_, options_.log};
  asio::thread_pool cancellers_{1};
  Conduct conduct_{absl::ToChronoNanoseconds(options_.slow)};
  Lender lender_{LenderOptionsOf(options_),      loop_, cancellers_, conduct_, connector_,
                 [this] { Count([](Core&) {}); }};
  /// Those for reads, then the one for writes.
  std::vector<std::unique_ptr<Place>> lanes_;
  asio::steady_timer tend_{loop_};
  /// A replacement is under way, or what it replaced is not gone yet.
  bool replacing_ = false;
  bool stopping_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All guarded by mutex_:
  int connected_ = 0;  ///< Lanes.
  int64_t lost_ = 0;
  int64_t replaced_ = 0;

  std::thread thread_;
};

Pool::Pool(PoolOptions options) : core_(std::make_unique<Core>(std::move(options))) {}
Pool::~Pool() = default;

absl::Status Pool::WaitConnected(absl::Duration timeout) { return core_->WaitConnected(timeout); }
bool Pool::connected() const { return core_->connected(); }
bool Pool::Submit(Execution* execution) { return core_->LaneFor(*execution).Submit(execution); }
bool Pool::Submit(Loan* loan) { return core_->lender().Submit(loan); }
PoolNumbers Pool::numbers() const { return core_->numbers(); }
void Pool::Look(std::function<void(Activity)> told) { core_->Look(std::move(told)); }
void Pool::Validate(Clock::duration patience, std::function<void(const Validation&)> done) {
  core_->Validate(patience, std::move(done));
}
void Pool::Stop() { core_->Stop(); }

}  // namespace twi::sql

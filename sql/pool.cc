#include "sql/pool.h"

#include <algorithm>
#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "sql/lane.h"
#include "sql/solo.h"
#include "sql/text.h"

namespace twi::sql {
namespace {

constexpr std::chrono::milliseconds kFirstPause{20};
// A database that is back serves again within a second: with 500 ms the worst of 40 restarts was
// 593 ms.
constexpr std::chrono::milliseconds kLongestPause{250};
// More at once would stampede a database that has just come back.
constexpr int kConnectsAtOnce = 2;

// One for reads and one for writes.
constexpr int kLanes = 2;

// Connections that neither lanes nor those that run alone take: for sessions of operators, and for
// a second pair of lanes.
constexpr int kSpare = 2;

// A statement of a write batch that waits longer for a lock runs alone.
constexpr absl::Duration kLaneLockTimeout = absl::Milliseconds(20);

absl::Status Down() {
  return Error(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE",
               "the database is not available");
}

absl::Status ShuttingDown() {
  return Error(absl::StatusCode::kUnavailable, "SHUTTING_DOWN", "the server is shutting down");
}

}  // namespace

class Pool::Core {
 public:
  explicit Core(PoolOptions options)
      : options_(std::move(options)), work_(asio::make_work_guard(loop_)) {
    thread_ = std::thread([this] { loop_.run(); });
    asio::post(loop_, [this] {
      Open(read_);
      Open(write_);
    });
  }

  ~Core() { Stop(); }

  Lane& LaneFor(const Execution& execution) {
    return execution.statement->read_only ? *read_.lane : *write_.lane;
  }

  absl::Status WaitConnected(absl::Duration timeout) {
    std::unique_lock lock(mutex_);
    const bool connected = changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout),
                                             [this] { return connected_ == kLanes; });
    if (connected) return absl::OkStatus();
    return absl::UnavailableError(last_error_.empty() ? "the database did not answer in time"
                                                      : last_error_);
  }

  bool connected() const {
    std::lock_guard lock(mutex_);
    return connected_ == kLanes;
  }

  PoolNumbers numbers() const {
    std::lock_guard lock(mutex_);
    PoolNumbers numbers = numbers_;
    int connections = connected_;
    for (const Place* place : {&read_, &write_}) {
      connections += place->solo.connections();
      numbers.busy += place->lane->busy() + place->solo.busy();
      numbers.waiting += place->lane->waiting() + place->solo.waiting();
      numbers.lost += place->solo.broken();
    }
    // They are read one by one while they change.
    numbers.idle = std::max(0, connections - numbers.busy);
    return numbers;
  }

  void Stop() {
    if (!thread_.joinable()) return;
    asio::post(loop_, [this] {
      stopping_ = true;
      for (Place* place : {&read_, &write_}) {
        place->pause.cancel();
        place->lane->Close();
        place->lane->Refuse(ShuttingDown());
        place->solo.Refuse(ShuttingDown());
      }
    });
    connectors_.join();
    cancellers_.join();
    work_.reset();
    thread_.join();
  }

 private:
  /// A lane and the efforts to keep it connected, and what runs beside it. On the loop's thread.
  struct Place {
    Place(Core& core, Lane::Kind kind)
        : connection{core.options_.dsn, core.options_.connect_timeout, kind == Lane::Kind::kRead,
                     absl::ZeroDuration()},
          lane(std::make_unique<Lane>(
              kind, core.options_.batch, core.loop_, core.conduct_,
              [this](Execution* execution) { solo.Run(execution); },
              [&core, this](const DatabaseError& error) { core.Lost(*this, error); })),
          solo({connection, (core.options_.max_connections - kLanes - kSpare) / 2}, core.loop_,
               core.cancellers_, core.conduct_,
               [&core](const ConnectionOptions& options, Solo::Opened opened) {
                 core.Connect(options, std::move(opened));
               }),
          pause(core.loop_) {}
    ConnectionOptions connection;
    std::unique_ptr<Lane> lane;
    Solo solo;
    asio::steady_timer pause;
    std::chrono::milliseconds next_pause = kFirstPause;
  };

  /// Connects on a worker, as libpq blocks in its look-up of names at least.
  void Connect(const ConnectionOptions& options, Solo::Opened opened) {
    Count([](Core& core) { ++core.numbers_.connecting; });
    asio::post(connectors_, [this, options, opened = std::move(opened)]() mutable {
      auto connection = Connection::Open(options, loop_);
      asio::post(loop_, [this, opened = std::move(opened), connection = std::move(connection)] {
        Count([&](Core& core) {
          --core.numbers_.connecting;
          core.numbers_.opened += connection.ok();
        });
        if (!connection.ok()) {
          options_.log("connecting failed", ToStd(connection.status().message()));
        }
        opened(connection);
      });
    });
  }

  void Open(Place& place) {
    ConnectionOptions options = place.connection;
    if (!options.read_only) options.lock_timeout = kLaneLockTimeout;
    Connect(options, [this, &place](absl::StatusOr<std::shared_ptr<Connection>> connection) {
      Opened(place, std::move(connection));
    });
  }

  void Opened(Place& place, absl::StatusOr<std::shared_ptr<Connection>> connection) {
    const bool ok = connection.ok() && !stopping_;
    Count([&](Core& core) {
      core.connected_ += ok;
      core.last_error_ = connection.ok() ? "" : std::string(connection.status().message());
    });
    if (stopping_) {
      if (connection.ok()) (*connection)->Close();
      return;
    }
    if (ok) {
      place.next_pause = kFirstPause;
      options_.log("connected", "");
      return place.lane->Attach(*std::move(connection));
    }
    place.lane->Refuse(Down());
    // Jitter, so that the replicas of a service do not come in step.
    place.pause.expires_after(place.next_pause / 2 +
                              place.next_pause * std::uniform_int_distribution(0, 100)(random_) /
                                  200);
    place.next_pause = std::min(2 * place.next_pause, kLongestPause);
    place.pause.async_wait([this, &place](const std::error_code& error) {
      if (!error && !stopping_) Open(place);
    });
  }

  void Lost(Place& place, const DatabaseError& error) {
    Count([](Core& core) {
      --core.connected_;
      ++core.numbers_.lost;
    });
    options_.log("connection lost", error.message);
    if (!stopping_) Open(place);
  }

  template <typename Change>
  void Count(Change change) {
    {
      std::lock_guard lock(mutex_);
      change(*this);
    }
    changed_.notify_all();
  }

  PoolOptions options_;
  asio::io_context loop_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::thread_pool connectors_{kConnectsAtOnce};
  asio::thread_pool cancellers_{1};
  Conduct conduct_;
  std::minstd_rand random_{std::random_device{}()};
  bool stopping_ = false;
  Place read_{*this, Lane::Kind::kRead};
  Place write_{*this, Lane::Kind::kWrite};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  /// All guarded by mutex_.
  PoolNumbers numbers_;
  int connected_ = 0;
  std::string last_error_;

  std::thread thread_;
};

Pool::Pool(PoolOptions options) : core_(std::make_unique<Core>(std::move(options))) {}
Pool::~Pool() = default;

absl::Status Pool::WaitConnected(absl::Duration timeout) { return core_->WaitConnected(timeout); }
bool Pool::connected() const { return core_->connected(); }
bool Pool::Submit(Execution* execution) { return core_->LaneFor(*execution).Submit(execution); }
PoolNumbers Pool::numbers() const { return core_->numbers(); }
void Pool::Stop() { core_->Stop(); }

}  // namespace twi::sql

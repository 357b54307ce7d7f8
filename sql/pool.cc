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
#include "sql/text.h"

namespace twi::sql {
namespace {

constexpr std::chrono::milliseconds kFirstPause{20};
// A database that is back serves again within a second.
constexpr std::chrono::milliseconds kLongestPause{500};
// More at once would stampede a database that has just come back.
constexpr int kConnectsAtOnce = 2;

// One for reads and one for writes.
constexpr int kLanes = 2;

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
    const bool connected = changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [this] {
      return numbers_.connecting == 0 && connected_ == kLanes;
    });
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
    numbers.lanes = kLanes;
    numbers.waiting = read_.lane->waiting() + write_.lane->waiting();
    numbers.busy = std::min(connected_, read_.lane->busy() + write_.lane->busy());
    numbers.idle = connected_ - numbers.busy;
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
      }
    });
    connectors_.join();
    work_.reset();
    thread_.join();
  }

 private:
  /// A lane and the efforts to keep it connected. On the loop's thread.
  struct Place {
    Place(Core& core, Lane::Kind kind)
        : lane(std::make_unique<Lane>(
              kind, core.loop_,
              [&core, this](const DatabaseError& error) { core.Lost(*this, error); })),
          pause(core.loop_) {}
    std::unique_ptr<Lane> lane;
    asio::steady_timer pause;
    std::chrono::milliseconds next_pause = kFirstPause;
  };

  void Open(Place& place) {
    Count([](Core& core) { ++core.numbers_.connecting; });
    ConnectionOptions options{options_.dsn, options_.connect_timeout,
                              place.lane->kind() == Lane::Kind::kRead};
    // libpq's connecting blocks, in its look-up of names at least.
    asio::post(connectors_, [this, &place, options = std::move(options)] {
      auto connection = Connection::Open(options, loop_);
      asio::post(loop_, [this, &place, connection = std::move(connection)]() mutable {
        Opened(place, std::move(connection));
      });
    });
  }

  void Opened(Place& place, absl::StatusOr<std::shared_ptr<Connection>> connection) {
    const bool ok = connection.ok() && !stopping_;
    Count([&](Core& core) {
      --core.numbers_.connecting;
      core.numbers_.opened += ok;
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
    options_.log("connecting failed", ToStd(connection.status().message()));
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

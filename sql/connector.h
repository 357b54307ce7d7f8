#pragma once

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/thread_pool.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sql/connection.h"

namespace twi::sql {

/// Opens connections on threads of its own, as libpq blocks in its look-up of names at least: two
/// at a time, and the others wait for their turn.
class Connector {
 public:
  using Log = std::function<void(std::string_view event, std::string_view detail)>;
  using Opened = std::function<void(absl::StatusOr<std::shared_ptr<Connection>>)>;

  /// `log` is called on the loop's thread.
  Connector(asio::io_context& loop, Log log) : loop_(loop), log_(std::move(log)) {}

  /// Opens one; `opened` is called on the loop's thread.
  void Open(const ConnectionOptions& options, Opened opened);

  /// Opens no more; what waits is told so. Returns when no thread is at work any more.
  void Stop();

  struct Numbers {
    int connecting = 0;  ///< Under way or waiting for their turn.
    int64_t opened = 0;
    std::string last_error;  ///< "" when the last connect went well.
  };
  /// Any thread.
  Numbers numbers() const;

 private:
  // More at once would stampede a database that has just come back.
  static constexpr int kConnectsAtOnce = 2;

  absl::StatusOr<std::shared_ptr<Connection>> Connect(const ConnectionOptions& options);

  asio::io_context& loop_;
  const Log log_;
  asio::thread_pool threads_{kConnectsAtOnce};
  mutable std::mutex mutex_;
  /// Both guarded by mutex_.
  Numbers numbers_;
  bool stopping_ = false;
};

/// The growing pauses between the attempts to connect, with jitter, so that the replicas of a
/// service do not come in step.
class Backoff {
 public:
  std::chrono::milliseconds Next() {
    const auto pause = pause_;
    pause_ = std::min(2 * pause_, kLongest);
    return pause / 2 + pause * std::uniform_int_distribution(0, 100)(random_) / 200;
  }
  void Reset() { pause_ = kFirst; }

 private:
  static constexpr std::chrono::milliseconds kFirst{20};
  // A database that is back serves again within a second: with 500 ms the worst of 40 restarts was
  // 593 ms.
  static constexpr std::chrono::milliseconds kLongest{250};

  std::minstd_rand random_{std::random_device{}()};
  std::chrono::milliseconds pause_ = kFirst;
};

}  // namespace twi::sql

#include "sql/connector.h"

#include <asio/post.hpp>
#include <utility>

#include "sql/text.h"

namespace twi::sql {

void Connector::Open(const ConnectionOptions& options, Opened opened) {
  {
    std::lock_guard lock(mutex_);
    ++numbers_.connecting;
  }
  asio::post(threads_, [this, options, opened = std::move(opened)]() mutable {
    auto connection = Connect(options);
    asio::post(loop_, [this, opened = std::move(opened), connection = std::move(connection)] {
      {
        std::lock_guard lock(mutex_);
        --numbers_.connecting;
        numbers_.opened += connection.ok();
        numbers_.last_error = connection.ok() ? "" : std::string(connection.status().message());
      }
      if (!connection.ok()) log_("connecting failed", ToStd(connection.status().message()));
      opened(connection);
    });
  });
}

absl::StatusOr<std::shared_ptr<Connection>> Connector::Connect(const ConnectionOptions& options) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return absl::CancelledError("the pool was stopped");
  }
  return Connection::Open(options, loop_);
}

void Connector::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  threads_.join();
}

Connector::Numbers Connector::numbers() const {
  std::lock_guard lock(mutex_);
  return numbers_;
}

}  // namespace twi::sql

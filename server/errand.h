#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "server/call.h"
#include "server/stream.h"
#include "server/task.h"

namespace twi::server {

/// Work that blocks, done on a thread of its own for a call, which may end before it.
class Errand {
 public:
  using Body = std::function<absl::Status(Errand&)>;
  /// Has what it gets called on some thread, by and by.
  using Post = std::function<void(std::function<void()>)>;

  /// Runs `body`, which gives its status, and sends the client what it tells meanwhile. When the
  /// client is gone or its deadline has passed, the call ends, and `body` is asked to.
  static Task<absl::Status> Run(Stream stream, Post post, Body body);
  /// The same for a unary call: what `body` tells is its response.
  static Task<absl::Status> Run(Call& call, Post post, Body body,
                                google::protobuf::Message* response);

  // For `body`:

  /// Tells the client something.
  void Tell(std::unique_ptr<google::protobuf::Message> message);
  /// Nobody waits for it any more.
  bool stopped() const { return stopped_; }

 private:
  struct News {
    std::vector<std::unique_ptr<google::protobuf::Message>> messages;
    std::optional<absl::Status> status;  ///< Its end.
  };

  static std::shared_ptr<Errand> Begin(const Post& post, Body body);
  /// Calls `heard` when there is news, at once if there is.
  void Listen(std::function<void()> heard);
  void Change(const std::function<void(News&)>& change);
  News Take();

  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  News news_;                    ///< Guarded by mutex_.
  std::function<void()> heard_;  ///< Guarded by mutex_.
};

}  // namespace twi::server

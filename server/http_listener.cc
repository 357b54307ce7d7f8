#include "server/http_listener.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/log.h"

namespace twi::server {
namespace {

/// The library takes request lines and headers of 8 KiB each, and any number of headers.
constexpr size_t kMaxRequestBytes = 16 << 10;
/// What is thrown away of a body. Closed with something unread, a connection is reset, and its
/// client may lose the answer before it has read it.
constexpr size_t kMaxIgnoredBytes = 256 << 10;
/// For what keeps accept(2) from working, which is a lack of descriptors or of memory.
constexpr auto kPause = std::chrono::milliseconds(10);

/// In place of the library's own, which sets SO_REUSEPORT: two servers would share one port, and
/// each would get half of the scrapes.
void ReuseAddress(socket_t socket) {
  const int on = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

/// For poll(2), which waits for at least so long.
template <typename TimePoint>
int MillisecondsUntil(TimePoint time) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - TimePoint::clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, std::numeric_limits<int>::max()));
}

/// The bytes of a connection for the library. It blocks until somebody shuts the socket down.
class Bytes final : public httplib::Stream {
 public:
  /// With a context, the bytes are those within TLS. The socket stays the caller's.
  Bytes(int socket, SSL_CTX* tls)
      : socket_(socket), bytes_(BIO_new_socket(socket, BIO_NOCLOSE), BIO_free_all) {
    if (tls != nullptr) {
      BIO* const within = BIO_new_ssl(tls, /*client=*/0);
      // Not to be answered without TLS for that.
      if (within == nullptr) throw std::bad_alloc();
      bytes_.reset(BIO_push(within, bytes_.release()));
    }
  }

  /// One byte, as the library asks for.
  ssize_t read(char* into, size_t) override {
    if (begin_ == end_) {
      if (left_ == 0) return -1;
      begin_ = 0;
      end_ = std::max(0, Receive(std::min(left_, sizeof buffer_)));
      if (end_ == 0) return 0;
      left_ -= end_;
    }
    *into = buffer_[begin_++];
    HideRange(into);
    return 1;
  }

  ssize_t write(const char* from, size_t size) override {
    for (;;) {
      const int written =
          BIO_write(bytes_.get(), from, static_cast<int>(std::min<size_t>(size, 1 << 20)));
      // The library has the process ignore SIGPIPE.
      if (written > 0) return written;
      if (!BIO_should_retry(bytes_.get())) return -1;
    }
  }

  /// Says that no more comes, and waits for the client to say so.
  void Finish() {
    BIO_ssl_shutdown(bytes_.get());
    shutdown(socket_, SHUT_WR);
    for (size_t ignored = 0; ignored < kMaxIgnoredBytes;) {
      const ssize_t size = recv(socket_, buffer_, sizeof buffer_, 0);
      if (size == 0 || (size < 0 && errno != EINTR)) return;
      ignored += std::max<ssize_t>(size, 0);
    }
  }

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  /// Takes the colon from a header `Range`, so that the library knows none. It reads their values
  /// by recursion, which takes 400 bytes of stack for each: enough to end the process. And nobody
  /// needs parts of a page; thousands of them would be thousands of pages.
  void HideRange(char* byte) {
    constexpr absl::string_view kRange = "range:";
    if (*byte == '\n') {
      matched_ = 0;
    } else if (matched_ < kRange.size()) {
      matched_ = absl::ascii_tolower(*byte) == kRange[matched_] ? matched_ + 1 : kRange.size() + 1;
      if (matched_ == kRange.size()) *byte = ' ';
    }
  }

  int Receive(size_t size) {
    for (;;) {
      const int received = BIO_read(bytes_.get(), buffer_, static_cast<int>(size));
      if (received > 0 || !BIO_should_retry(bytes_.get())) return received;
    }
  }

  const int socket_;
  std::unique_ptr<BIO, decltype(&BIO_free_all)> bytes_;
  char buffer_[4096];
  size_t begin_ = 0;
  size_t end_ = 0;
  size_t left_ = kMaxRequestBytes;
  /// How much of a line is the beginning of that header.
  size_t matched_ = 0;
};

}  // namespace

HttpListener::HttpListener(Answer answer, std::unique_ptr<Certificate> certificate,
                           const HttpLimits& limits)
    : certificate_(std::move(certificate)),
      lifetime_(absl::ToChronoNanoseconds(limits.lifetime)),
      most_(limits.connections) {
  set_socket_options(ReuseAddress);
  // Before the library looks at anything but the head of the request: it reads no body then.
  set_pre_routing_handler([answer = std::move(answer)](const auto& request, auto& response) {
    answer(request, response);
    return HandlerResponse::Handled;
  });
  set_expect_100_continue_handler(
      [](const auto&, auto& response) { return response.status = 413; });
  // The library's own tells the client what was thrown.
  set_exception_handler([](const auto&, auto& response, const std::exception_ptr&) {
    response.status = 500;
    response.body.clear();
  });
}

HttpListener::~HttpListener() { Stop(); }

absl::StatusOr<int> HttpListener::Start(const Address& address) {
  errno = 0;
  int port = address.port;
  if (port == 0) {
    port = bind_to_any_port(address.host);
  } else if (!bind_to_port(address.host, port)) {
    port = -1;
  }
  if (port < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address.ToString(),
                     errno == 0 ? "" : absl::StrCat(": ", std::strerror(errno))));
  }
  // The library lets five wait to be accepted.
  ::listen(svr_sock_, SOMAXCONN);
  fcntl(svr_sock_, F_SETFL, O_NONBLOCK);
  thread_ = std::thread([this] { Accept(); });
  return port;
}

void HttpListener::Stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  // Wakes the thread.
  shutdown(svr_sock_, SHUT_RDWR);
  thread_.join();
}

void HttpListener::Accept() {
  while (!stopping_) {
    pollfd listening{svr_sock_, POLLIN, 0};
    poll(&listening, 1, MillisecondsUntil(EndOverdue()));
    const int socket = accept4(svr_sock_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket >= 0) {
      Admit(socket);
    } else if (errno != EAGAIN) {
      std::this_thread::sleep_for(kPause);
    }
  }
  close(svr_sock_.exchange(INVALID_SOCKET));

  std::unique_lock lock(mutex_);
  for (const Connection& connection : connections_) {
    // What has arrived can still be read.
    if (!connection.answering) shutdown(connection.socket, SHUT_RD);
  }
  while (!connections_.empty()) {
    lock.unlock();
    const Clock::time_point next = EndOverdue();
    lock.lock();
    one_went_.wait_until(lock, next, [this] { return connections_.empty(); });
  }
  lock.unlock();
  gone_.clear();
}

void HttpListener::Admit(int socket) {
  Connections gone;
  const std::lock_guard lock(mutex_);
  gone.swap(gone_);
  if (!MakeRoom()) {
    close(socket);
    return;
  }
  connections_.emplace_back();
  const auto connection = std::prev(connections_.end());
  connection->socket = socket;
  connection->end = Clock::now() + lifetime_;
  try {
    connection->thread = std::jthread([this, connection] { Run(connection); });
  } catch (const std::system_error& error) {
    Log(LogLevel::kWarning, "no thread for a connection", {{"error", error.what()}});
    close(socket);
    connections_.pop_back();
  }
}

bool HttpListener::MakeRoom() {
  const auto count = std::ranges::count(connections_, false, &Connection::ended);
  if (count < most_) return true;
  // Those that were told to end are gone at once, unless there are no threads to be had.
  if (std::ssize(connections_) >= 2 * most_) return false;
  const auto oldest = std::ranges::find_if(connections_, [](const Connection& connection) {
    return !connection.answering && !connection.ended;
  });
  if (oldest == connections_.end()) return false;
  shutdown(oldest->socket, SHUT_RD);
  oldest->ended = true;
  return true;
}

HttpListener::Clock::time_point HttpListener::EndOverdue() {
  const Clock::time_point now = Clock::now();
  const std::lock_guard lock(mutex_);
  for (Connection& connection : connections_) {
    if (connection.end > now) return connection.end;
    shutdown(connection.socket, SHUT_RDWR);
    connection.ended = true;
  }
  return now + lifetime_;
}

void HttpListener::Run(Connections::iterator connection) {
  try {
    const auto tls = certificate_ == nullptr ? nullptr : certificate_->Current();
    Bytes bytes(connection->socket, tls.get());
    bool closed = false;
    process_request(bytes, /*close_connection=*/true, closed,
                    [&](httplib::Request&) { SetAnswering(connection, true); });
    SetAnswering(connection, false);
    bytes.Finish();
  } catch (const std::exception& error) {
    Log(LogLevel::kError, "connection given up", {{"error", error.what()}});
  }
  const std::lock_guard lock(mutex_);
  close(connection->socket);
  gone_.splice(gone_.end(), connections_, connection);
  one_went_.notify_one();
}

void HttpListener::SetAnswering(Connections::iterator connection, bool answering) {
  const std::lock_guard lock(mutex_);
  connection->answering = answering;
  if (stopping_ && !answering) shutdown(connection->socket, SHUT_RD);
}

}  // namespace twi::server

#include "server/http.h"

#include <httplib.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace twi::server {
namespace {

constexpr int kThreads = 2;
constexpr auto kTimeout = std::chrono::seconds(5);
/// No page takes a body.
constexpr size_t kPayloadLimit = 4096;

/// In place of the library's own, which sets SO_REUSEPORT: two servers would share one port, and
/// each would get half of the scrapes.
void ReuseAddress(socket_t socket) {
  const int on = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

void Configure(httplib::Server* server, HttpServer::Pages pages) {
  server->new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server->set_socket_options(ReuseAddress);
  server->set_keep_alive_max_count(1);
  server->set_read_timeout(kTimeout);
  server->set_write_timeout(kTimeout);
  server->set_payload_max_length(kPayloadLimit);

  std::string list = "Not found. There is:\n";
  for (auto& [path, page] : pages) {
    absl::StrAppend(&list, path, "\n");
    server->Get(path, [make = std::move(page)](const httplib::Request&, httplib::Response& out) {
      const Page made = make();
      out.status = made.status;
      out.set_content(made.body, made.content_type);
    });
  }
  server->set_error_handler([list](const httplib::Request&, httplib::Response& out) {
    if (out.status == 404) out.set_content(list, Page().content_type);
  });
}

}  // namespace

Page ProbePage(const absl::Status& status) {
  if (status.ok()) return {.body = "ok\n"};
  return {.status = 503, .body = absl::StrCat(status.message(), "\n")};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const Address& address, Pages pages) {
  auto server = std::make_unique<httplib::Server>();
  Configure(server.get(), std::move(pages));

  errno = 0;
  int port = address.port;
  if (port == 0) {
    port = server->bind_to_any_port(address.host);
  } else if (!server->bind_to_port(address.host, port)) {
    port = -1;
  }
  if (port < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address.ToString(),
                     errno == 0 ? "" : absl::StrCat(": ", std::strerror(errno))));
  }
  return std::unique_ptr<HttpServer>(
      new HttpServer(std::move(server), Address{address.host, port}));
}

HttpServer::HttpServer(std::unique_ptr<httplib::Server> server, Address address)
    : server_(std::move(server)),
      address_(std::move(address)),
      thread_([this] { server_->listen_after_bind(); }) {
  // The library ignores a stop() that comes before its thread runs.
  while (!server_->is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

HttpServer::~HttpServer() { Stop(); }

void HttpServer::Stop() {
  if (!thread_.joinable()) return;
  server_->stop();
  thread_.join();
}

}  // namespace twi::server

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/address.h"

namespace httplib {
class Server;
}

namespace twi::server {

/// What a path answers.
struct Page {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
};

/// The page of a probe: 200 `ok`, or 503 with the status's message.
Page ProbePage(const absl::Status& status);

/// Serves pages for operators over plain HTTP/1.1, each made anew per request. Every other path is
/// 404 and lists those there are.
///
/// Two threads make the pages, so a page may be asked for twice at once. A connection carries one
/// request: an idle one that is kept alive would hold a thread that a probe needs.
class HttpServer {
 public:
  /// By path: `/metrics`.
  using Pages = std::map<std::string, std::function<Page()>>;

  /// Serves at once. UNAVAILABLE when nobody may listen there; a port that another process listens
  /// on is never shared with it.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const Address& address, Pages pages);

  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Where it listens, with the real port.
  const Address& address() const { return address_; }

  /// Stops listening, answers what has begun, and ends the threads. Afterwards no page is made.
  void Stop();

 private:
  HttpServer(std::unique_ptr<httplib::Server> server, Address address);

  const std::unique_ptr<httplib::Server> server_;
  const Address address_;
  std::thread thread_;
};

}  // namespace twi::server

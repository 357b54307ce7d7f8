#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/address.h"
#include "server/tls_files.h"

namespace twi::server {

class HttpListener;

/// What a path answers.
struct Page {
  int status = 200;
  std::string body;
  std::string content_type = "text/plain; charset=utf-8";
};

/// The page of a probe: 200 `ok`, or 503 with the status's message.
Page ProbePage(const absl::Status& status);

/// What the connections of an HttpServer are held to.
struct HttpLimits {
  absl::Duration lifetime = absl::Seconds(10);    ///< From its acceptance to its end.
  int connections = 128;                          ///< At once.
  absl::Duration certificate = absl::Seconds(1);  ///< Before its files are looked at again.
};

/// Serves pages for operators over HTTP/1.1, each made anew per request. GET and HEAD are answered;
/// every other path is 404 and lists those there are.
///
/// With TLS it serves HTTPS alone, of TLS 1.2 or later, and takes over certificates that change
/// (Certificate). Clients show none.
///
/// Whatever clients do, a probe is answered:
/// * A connection carries one request, of which 16 KiB are read and no body, and then ends. What is
///   malformed, larger or has a body is refused with 400, 413 or 414, or closed.
/// * It ends 10 s after it was accepted, the TLS handshake included, however far it has come; a
///   client that sends or reads a byte now and then gains nothing.
/// * There are 128 at the most. One more ends that which owes its request for longest; when all are
///   being answered, it is closed at once. So slow clients are in nobody's way.
/// * Two pages are made at a time, so a page may be asked for twice at once.
class HttpServer {
 public:
  /// By path: `/metrics`. One with a query, `/statusz?format=json`, is for exactly that query; any
  /// other query changes nothing.
  using Pages = std::map<std::string, std::function<Page()>>;

  /// Serves at once. UNAVAILABLE when nobody may listen there; a port that another process listens
  /// on is never shared with it. INVALID_ARGUMENT when the files of TLS will not do.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const Address& address, Pages pages,
                                                           const TlsFiles& tls = {},
                                                           const HttpLimits& limits = {});

  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Where it listens, with the real port.
  const Address& address() const { return address_; }

  /// Stops listening, answers those whose request is here, and ends the threads. Afterwards no page
  /// is made.
  void Stop();

 private:
  HttpServer(std::unique_ptr<HttpListener> listener, Address address);

  const std::unique_ptr<HttpListener> listener_;
  const Address address_;
};

}  // namespace twi::server

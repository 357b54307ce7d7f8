#include "server/http.h"

#include <httplib.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/certificate.h"
#include "server/http_listener.h"

namespace twi::server {
namespace {

constexpr int kPagesAtOnce = 2;

// Pages have styles and nothing else that a browser would run, load, send or frame.
constexpr char kPolicy[] =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

/// Answers requests with pages.
class Answers {
 public:
  explicit Answers(HttpServer::Pages pages) : pages_(std::move(pages)) {
    for (const auto& [path, page] : pages_) absl::StrAppend(&list_, path, "\n");
  }

  void Answer(const httplib::Request& request, httplib::Response& response) {
    // Not the library's `path`, in which some of what is encoded is dropped.
    auto page = pages_.find(request.target);
    if (page == pages_.end())
      page = pages_.find(request.target.substr(0, request.target.find('?')));
    response.set_header("Content-Security-Policy", kPolicy);
    response.set_header("X-Content-Type-Options", "nosniff");
    response.set_header("Cache-Control", "no-store");
    if (!WellFramed(request)) {
      response.status = 400;
    } else if (page == pages_.end()) {
      response.status = 404;
      response.set_content(list_, Page().content_type);
    } else if (request.method != "GET" && request.method != "HEAD") {
      response.status = 405;
      response.set_header("Allow", "GET, HEAD");
    } else if (HasBody(request)) {
      response.status = 413;
    } else {
      const Page made = Make(page->second);
      response.status = made.status;
      response.set_content(made.body, made.content_type);
    }
  }

 private:
  /// Whether all who read the request agree on where it ends. Nothing here depends on it; a proxy
  /// before us may.
  static bool WellFramed(const httplib::Request& request) {
    const size_t lengths = request.get_header_value_count("Content-Length");
    const std::string length = request.get_header_value("Content-Length");
    return lengths == 0 || (lengths == 1 && !request.has_header("Transfer-Encoding") &&
                            !length.empty() && std::ranges::all_of(length, absl::ascii_isdigit));
  }

  static bool HasBody(const httplib::Request& request) {
    return request.has_header("Transfer-Encoding") ||
           request.get_header_value("Content-Length").find_first_not_of('0') != std::string::npos;
  }

  Page Make(const std::function<Page()>& page) {
    {
      std::unique_lock lock(mutex_);
      one_made_.wait(lock, [this] { return making_ < kPagesAtOnce; });
      ++making_;
    }
    const absl::Cleanup made = [this] {
      const std::lock_guard lock(mutex_);
      --making_;
      one_made_.notify_one();
    };
    return page();
  }

  const HttpServer::Pages pages_;
  std::string list_ = "Not found. There is:\n";

  std::mutex mutex_;
  std::condition_variable one_made_;
  int making_ = 0;
};

}  // namespace

Page ProbePage(const absl::Status& status) {
  if (status.ok()) return {.body = "ok\n"};
  return {.status = 503, .body = absl::StrCat(status.message(), "\n")};
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const Address& address, Pages pages,
                                                              const TlsFiles& tls,
                                                              const HttpLimits& limits) {
  std::unique_ptr<Certificate> certificate;
  if (tls.enabled()) {
    auto loaded = Certificate::Load(tls, limits.certificate);
    if (!loaded.ok()) return loaded.status();
    certificate = *std::move(loaded);
  }
  const auto answers = std::make_shared<Answers>(std::move(pages));
  auto listener = std::make_unique<HttpListener>(
      [answers](const httplib::Request& request, httplib::Response& response) {
        answers->Answer(request, response);
      },
      std::move(certificate), limits);
  const auto port = listener->Start(address);
  if (!port.ok()) return port.status();
  return std::unique_ptr<HttpServer>(
      new HttpServer(std::move(listener), Address{address.host, *port}));
}

HttpServer::HttpServer(std::unique_ptr<HttpListener> listener, Address address)
    : listener_(std::move(listener)), address_(std::move(address)) {}

HttpServer::~HttpServer() = default;

void HttpServer::Stop() { listener_->Stop(); }

}  // namespace twi::server

#include "server/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "server/address.h"

namespace twi::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class HttpTest : public testing::Test {
 protected:
  HttpTest() {
    absl::StatusOr<std::unique_ptr<HttpServer>> server = HttpServer::Start(
        {"127.0.0.1", 0},
        {{"/metrics", [] { return Page{.body = "up 1\n", .content_type = "text/plain; v=4"}; }},
         {"/livez", [] { return ProbePage(absl::OkStatus()); }},
         {"/readyz", [this] { return ProbePage(ready_); }}});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<httplib::Client>("127.0.0.1", server_->address().port);
  }

  absl::Status ready_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<httplib::Client> client_;
};

TEST_F(HttpTest, ServesThePages) {
  EXPECT_GT(server_->address().port, 0);
  const httplib::Result metrics = client_->Get("/metrics");
  ASSERT_TRUE(metrics);
  EXPECT_EQ(metrics->status, 200);
  EXPECT_EQ(metrics->body, "up 1\n");
  EXPECT_EQ(metrics->get_header_value("Content-Type"), "text/plain; v=4");

  const httplib::Result alive = client_->Get("/livez");
  ASSERT_TRUE(alive);
  EXPECT_EQ(alive->status, 200);
  EXPECT_EQ(alive->body, "ok\n");

  const httplib::Result head = client_->Head("/livez");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
}

TEST_F(HttpTest, ReadinessIsAskedEachTimeAndGivesItsReason) {
  EXPECT_EQ(client_->Get("/readyz")->status, 200);
  ready_ = absl::UnavailableError("the database does not answer");
  const httplib::Result ready = client_->Get("/readyz");
  ASSERT_TRUE(ready);
  EXPECT_EQ(ready->status, 503);
  EXPECT_EQ(ready->body, "the database does not answer\n");
}

TEST_F(HttpTest, OtherPathsListWhatThereIs) {
  for (const char* path : {"/", "/metricsz", "/metrics/", "/../etc/passwd"}) {
    const httplib::Result page = client_->Get(path);
    ASSERT_TRUE(page) << path;
    EXPECT_EQ(page->status, 404) << path;
    EXPECT_EQ(page->body, "Not found. There is:\n/livez\n/metrics\n/readyz\n");
  }
  EXPECT_EQ(client_->Post("/none", "x", "text/plain")->status, 404);
}

TEST_F(HttpTest, PagesAreReadAlone) {
  const httplib::Result page = client_->Post("/metrics", std::string(5000, 'x'), "text/plain");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->status, 405);
  EXPECT_EQ(page->get_header_value("Allow"), "GET, HEAD");
  EXPECT_EQ(client_->Put("/metrics", "x", "text/plain")->status, 405);
  EXPECT_EQ(client_->Delete("/metrics")->status, 405);
  EXPECT_EQ(client_->Options("/metrics")->status, 405);
}

TEST_F(HttpTest, APageThatFailsSaysNothingOfWhy) {
  const auto server = HttpServer::Start(
      {"127.0.0.1", 0}, {{"/page", []() -> Page { throw std::runtime_error("password=secret"); }}});
  ASSERT_TRUE(server.ok()) << server.status();
  httplib::Client client("127.0.0.1", (*server)->address().port);
  for (int i = 0; i < 3; ++i) {
    const httplib::Result page = client.Get("/page");
    ASSERT_TRUE(page);
    EXPECT_EQ(page->status, 500);
    EXPECT_EQ(page->body, "");
    for (const auto& [name, value] : page->headers) EXPECT_THAT(value, Not(HasSubstr("secret")));
  }
}

TEST_F(HttpTest, AConnectionIsNotKept) {
  client_->set_keep_alive(true);
  const httplib::Result page = client_->Get("/livez");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->get_header_value("Connection"), "close");
}

TEST_F(HttpTest, APortInUseIsNotShared) {
  const absl::Status second = HttpServer::Start(server_->address(), {}).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.message()), HasSubstr(server_->address().ToString()));
  EXPECT_THAT(std::string(second.message()), HasSubstr("in use"));
}

TEST_F(HttpTest, StopEndsServingAndFreesThePort) {
  const Address address = server_->address();
  server_->Stop();
  EXPECT_FALSE(client_->Get("/livez"));
  server_->Stop();

  const absl::StatusOr<std::unique_ptr<HttpServer>> next =
      HttpServer::Start(address, {{"/livez", [] { return Page{.body = "next"}; }}});
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(client_->Get("/livez")->body, "next");
}

TEST_F(HttpTest, StopAtOnceDoesNotHang) {
  for (int i = 0; i < 20; ++i) {
    const absl::StatusOr<std::unique_ptr<HttpServer>> server =
        HttpServer::Start({"127.0.0.1", 0}, {});
    ASSERT_TRUE(server.ok()) << server.status();
  }
}

TEST(HttpThreads, TwoMakePages) {
  std::atomic<int> inside = 0;
  std::atomic<int> most = 0;
  const auto page = [&] {
    const int now = ++inside;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    // Until a second has come, and then a while for a third.
    for (int i = 0; i < 1000 && most < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    --inside;
    return Page();
  };
  const absl::StatusOr<std::unique_ptr<HttpServer>> server =
      HttpServer::Start({"127.0.0.1", 0}, {{"/page", page}});
  ASSERT_TRUE(server.ok()) << server.status();
  std::vector<std::jthread> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back([&] {
      EXPECT_EQ(httplib::Client("127.0.0.1", (*server)->address().port).Get("/page")->status, 200);
    });
  }
  clients.clear();
  EXPECT_EQ(most, 2);
}

}  // namespace
}  // namespace twi::server

// What clients of the HTTP port may do that no probe does.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/http.h"
#include "tests/support/raw_client.h"
#include "tests/support/together.h"

namespace twi::server {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using twi::testing::Exchange;
using twi::testing::RawClient;

constexpr char kProbe[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
/// Longer than any test takes.
constexpr HttpLimits kPatient = {.lifetime = absl::Minutes(10)};

/// A page that is made when the test says so.
class HeldPage {
 public:
  Page Make() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return released_; });
    return Page{.body = "at last\n"};
  }
  /// Until so many ask for it.
  void Await(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_ == count; });
  }
  void Release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool released_ = false;
};

class HttpHostileTest : public ::testing::Test {
 protected:
  void Start(const HttpLimits& limits) {
    auto server = HttpServer::Start({"127.0.0.1", 0},
                                    {{"/livez", [] { return ProbePage(absl::OkStatus()); }},
                                     {"/metrics", [] { return Page{.body = "up 1\n"}; }},
                                     {"/held", [this] { return held_.Make(); }},
                                     {"/large", [] { return Page{.body = Large()}; }}},
                                    {}, limits);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void SetUp() override { Start({}); }

  /// More than what kernels keep of what is not read.
  static std::string Large() { return std::string(32 << 20, 'x'); }

  int port() const { return server_->address().port; }
  std::string Send(std::string_view bytes) const { return Exchange(port(), bytes); }
  void ExpectServing() const { EXPECT_THAT(Send(kProbe), StartsWith("HTTP/1.1 200 ")); }

  /// So many clients that send this and then nothing more.
  std::list<RawClient> Clients(int count, std::string_view bytes) const {
    std::list<RawClient> clients;
    for (int i = 0; i < count; ++i) {
      clients.emplace_back(port());
      EXPECT_TRUE(clients.back().Send(bytes));
    }
    return clients;
  }

  HeldPage held_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpHostileTest, OnlyTheNamesOfPagesArePages) {
  const std::vector<std::pair<std::string, int>> targets = {
      {"/metrics", 200},
      {"/metrics?debug=1", 200},
      {"/../metrics", 404},
      {"/livez/../metrics", 404},
      {"/./metrics", 404},
      {"//metrics", 404},
      {"//localhost/metrics", 404},
      {"/metrics/", 404},
      {"/metrics%00", 404},
      {"/metrics%00.html", 404},
      {"/metrics%20", 404},
      {"/metrics%zz", 404},
      {"/metrics%", 404},
      {"/metrics%u0000", 404},
      {"/metrics%uD83D", 404},
      {"/metrics;x", 404},
      {"/METRICS", 404},
      {"/%6detrics", 404},
      {"/%2e%2e/metrics", 404},
      {"/%2e%2e%2fmetrics", 404},
      {"/..%5cmetrics", 404},
      {"/%252e%252e/metrics", 404},
      {"/\xc0\xae\xc0\xae/metrics", 404},
      {"http://127.0.0.1/metrics", 404},
      {"http://elsewhere.example/metrics", 404},
      {"file:///etc/passwd", 404},
      {"*", 404},
      {"metrics", 404},
      {".*", 404},
      {std::string("/metrics\0", 9), 400},
      {"/metrics?a?b", 400},
      {"", 400},
      {"/metrics HTTP/1.1 x", 400},
  };
  for (const auto& [target, status] : targets) {
    const std::string answer = Send(absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: x\r\n\r\n"));
    EXPECT_THAT(answer, StartsWith(absl::StrCat("HTTP/1.1 ", status, " "))) << target;
  }
}

TEST_F(HttpHostileTest, WhatIsNotHttpIsRefused) {
  for (const char* bytes : {
           "BREW /metrics HTTP/1.1\r\n\r\n",
           "get /metrics HTTP/1.1\r\n\r\n",
           "GET /metrics\r\n\r\n",
           "GET /metrics HTTP/2.0\r\n\r\n",
           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
           "GET /metrics HTTP/1.1\n\n",
           "\r\n\r\n",
           "\x16\x03\x01\x02\x00\x01\r\n\r\n",
       }) {
    const RawClient client(port());
    client.Send(bytes);
    client.EndSending();
    EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 400 ")) << bytes;
  }
  ExpectServing();
}

TEST_F(HttpHostileTest, WhatEndsEarlyIsNotAnswered) {
  for (const char* bytes : {"GET /metrics HT", "GET /metrics HTTP/1.1\r\n",
                            "GET /metrics HTTP/1.1\r\nHost: x\r\nX", ""}) {
    const RawClient client(port());
    client.Send(bytes);
    client.EndSending();
    EXPECT_THAT(client.ReadAll(), AnyOf(IsEmpty(), StartsWith("HTTP/1.1 400 "))) << bytes;
  }
  ExpectServing();
}

TEST_F(HttpHostileTest, OtherMethodsAreRefused) {
  for (const char* method : {"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}) {
    const std::string answer = Send(absl::StrCat(method, " /metrics HTTP/1.1\r\nX: y\r\n\r\n"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 ")) << method;
    EXPECT_THAT(answer, HasSubstr("Allow: GET, HEAD\r\n")) << method;
    EXPECT_THAT(answer, Not(HasSubstr("X: y"))) << method;
  }
}

TEST_F(HttpHostileTest, ABodyIsNotWaitedFor) {
  const std::vector<std::pair<const char*, int>> heads = {
      {"GET /metrics HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n", 413},
      {"HEAD /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 413},
      {"GET /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413},
      {"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFF\r\n", 413},
      {"POST /metrics HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n", 405},
      {"POST /metrics HTTP/1.1\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", 413},
      {"POST /none HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n", 404},
      {"GET /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 200},
  };
  Start(kPatient);
  for (const auto& [head, status] : heads) {
    // The answer comes though the client goes on to owe the body.
    RawClient client(port());
    client.Send(head);
    char answer[12];
    ASSERT_EQ(recv(client.socket(), answer, sizeof answer, MSG_WAITALL), 12) << head;
    EXPECT_EQ(std::string(answer, sizeof answer), absl::StrCat("HTTP/1.1 ", status)) << head;
  }
}

TEST_F(HttpHostileTest, WhoIsStillSendingIsNotResetByTheAnswer) {
  Start(kPatient);
  const RawClient client(port());
  const std::string part(20'000, 'a');
  client.Send("POST /metrics HTTP/1.1\r\nContent-Length: 80000\r\n\r\n");
  client.Send(part);
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 405 "));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(client.Send(part));
}

TEST_F(HttpHostileTest, WhereARequestEndsIsNotInDoubt) {
  const char* const bodies =
      "5\r\nGET /\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: smuggled\r\n\r\n";
  for (const char* headers : {
           "Content-Length: 5\r\nContent-Length: 6\r\n",
           "Content-Length: 5\r\nContent-Length: 5\r\n",
           "Content-Length: 0\r\nContent-Length: 40\r\n",
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
           "Content-Length: 5, 5\r\n",
           "Content-Length: +5\r\n",
           "Content-Length: -1\r\n",
           "Content-Length: 0x5\r\n",
           "Content-Length: five\r\n",
       }) {
    for (const char* method : {"GET", "POST"}) {
      const std::string answer =
          Send(absl::StrCat(method, " /metrics HTTP/1.1\r\n", headers, "\r\n", bodies));
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 ")) << headers;
      EXPECT_THAT(answer.substr(1), Not(HasSubstr("HTTP/1.1 "))) << "two answers to " << headers;
    }
  }
  // A second request is never read, however the first one is framed.
  const std::string answer = Send(absl::StrCat(kProbe, kProbe));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(answer.substr(1), Not(HasSubstr("HTTP/1.1 ")));
}

TEST_F(HttpHostileTest, LongHeadsAreRefused) {
  const std::string kilobytes(10 << 10, 'a');
  EXPECT_THAT(Send(absl::StrCat("GET /", kilobytes, " HTTP/1.1\r\n\r\n")),
              StartsWith("HTTP/1.1 414 "));
  EXPECT_THAT(Send(absl::StrCat("GET /metrics HTTP/1.1\r\nX: ", kilobytes, "\r\n\r\n")),
              StartsWith("HTTP/1.1 400 "));
  std::string headers;
  for (int i = 0; i < 4000; ++i) absl::StrAppend(&headers, "X-", i, ": y\r\n");
  EXPECT_THAT(Send(absl::StrCat("GET /metrics HTTP/1.1\r\n", headers, "\r\n")),
              StartsWith("HTTP/1.1 400 "));
  ExpectServing();
}

TEST_F(HttpHostileTest, OfWhatIsTooLongLittleIsRead) {
  for (const char* begin : {
           "GET /",
           "GET /metrics HTTP/1.1\r\nX: ",
           "GET /metrics HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n",
           "POST /metrics HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n",
           "POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n6400000\r\n",
       }) {
    const RawClient client(port());
    ASSERT_TRUE(client.Send(begin));
    const std::string megabyte(1 << 20, 'a');
    int sent = 0;
    while (sent < 100 && client.Send(megabyte)) ++sent;
    EXPECT_LT(sent, 100) << begin;
  }
  ExpectServing();
}

TEST_F(HttpHostileTest, PagesAreSentWhole) {
  // Threads of little stack, as some systems have them.
  pthread_attr_t usual;
  pthread_attr_t small;
  pthread_getattr_default_np(&usual);
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 1 << 20);
  pthread_setattr_default_np(&small);
  Start({});
  std::string ranges = "bytes=0-";
  while (ranges.size() < 8000) ranges += ",0-";
  for (const std::string& range : {std::string("bytes=0-1"), std::string("all"), ranges}) {
    for (const char* name : {"Range", "range", "RANGE"}) {
      const std::string answer =
          Send(absl::StrCat("GET /metrics HTTP/1.1\r\nX: y\r\n", name, ":", range, "\r\n\r\n"));
      EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
      EXPECT_TRUE(answer.ends_with("\r\n\r\nup 1\n")) << answer;
    }
  }
  pthread_setattr_default_np(&usual);
  pthread_attr_destroy(&small);
  pthread_attr_destroy(&usual);
}

TEST_F(HttpHostileTest, SlowClientsDoNotHoldUpAProbe) {
  Start(kPatient);
  const auto mute = Clients(20, "");
  const auto slow = Clients(20, "GET /livez HTTP/1.1\r\nX: ");
  ExpectServing();
  for (const RawClient& client : mute) EXPECT_TRUE(client.Open());
  for (const RawClient& client : slow) EXPECT_TRUE(client.Open());
  // Nor do they hold up the end.
  server_->Stop();
}

TEST_F(HttpHostileTest, AClientThatDripsIsCutOff) {
  Start({.lifetime = absl::Milliseconds(200)});
  const RawClient client(port());
  client.Send("GET /livez HTTP/1.1\r\n");
  int drips = 0;
  while (drips < 300 && client.Send("X: y\r\n")) {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    ++drips;
  }
  EXPECT_LT(drips, 300);
  ExpectServing();
}

TEST_F(HttpHostileTest, AMuteClientIsCutOff) {
  Start({.lifetime = absl::Milliseconds(100)});
  EXPECT_THAT(Exchange(port(), ""), IsEmpty());
}

TEST_F(HttpHostileTest, AClientThatDoesNotReadIsCutOff) {
  Start({.lifetime = absl::Milliseconds(400)});
  const RawClient client(port());
  client.Send("GET /large HTTP/1.1\r\n\r\n");
  char first;
  recv(client.socket(), &first, 1, 0);
  // What is being answered is waited for.
  server_->Stop();
  EXPECT_LT(client.ReadAll().size(), Large().size());
}

TEST_F(HttpHostileTest, TheOldestThatIsSlowMakesRoom) {
  Start({.lifetime = kPatient.lifetime, .connections = 8});
  auto slow = Clients(8, "GET");
  ExpectServing();
  EXPECT_THAT(slow.front().ReadAll(), Not(HasSubstr("200")));
  slow.pop_front();
  for (const RawClient& client : slow) EXPECT_TRUE(client.Open());

  const auto more = Clients(8, "GET");
  for (const RawClient& client : slow) EXPECT_THAT(client.ReadAll(), Not(HasSubstr("200")));
  ExpectServing();
}

TEST_F(HttpHostileTest, ConnectionsBeyondTheMostAreClosedAtOnce) {
  Start({.lifetime = kPatient.lifetime, .connections = 2});
  const auto clients = Clients(2, "GET /held HTTP/1.1\r\n\r\n");
  held_.Await(2);
  EXPECT_THAT(RawClient(port()).ReadAll(), IsEmpty());
  held_.Release();
  for (const RawClient& client : clients) EXPECT_THAT(client.ReadAll(), HasSubstr("at last"));
}

TEST_F(HttpHostileTest, StopAnswersWhatItHasAndEndsTheRest) {
  Start(kPatient);
  const RawClient mute(port());
  const RawClient client(port());
  client.Send("GET /held HTTP/1.1\r\n\r\n");
  held_.Await(1);
  std::thread stop([this] { server_->Stop(); });
  EXPECT_THAT(mute.ReadAll(), IsEmpty());
  held_.Release();
  // Its client does not close the connection.
  stop.join();
  EXPECT_THAT(client.ReadAll(), HasSubstr("at last"));
}

TEST_F(HttpHostileTest, ManyProbesAtOnceAreAnswered) {
  twi::testing::Together(8, [this](int) {
    for (int i = 0; i < 15; ++i) ExpectServing();
  });
}

TEST_F(HttpHostileTest, ALackOfDescriptorsPasses) {
  rlimit usual;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &usual), 0);
  const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(next);
  // The client's is the last.
  const rlimit scarce = {static_cast<rlim_t>(next) + 1, usual.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &scarce), 0);
  const RawClient client(port());
  client.Send(kProbe);
  // So that it is tried; that it is not would show nothing.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(client.Open());
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &usual), 0);
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace twi::server

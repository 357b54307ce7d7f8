#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <atomic>
#include <list>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/http.h"
#include "tests/support/authority.h"
#include "tests/support/raw_client.h"

namespace twi::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using twi::testing::Authority;
using twi::testing::CertificateFolder;
using twi::testing::Exchange;
using twi::testing::RawClient;

class HttpTlsTest : public ::testing::Test {
 protected:
  /// The files of TLS are looked at for each connection.
  void SetUp() override {
    folder_.Write(authority_.Sign("first"));
    CertificateFolder::Write(folder_.authority(), authority_.certificate());
    auto server = Start({.lifetime = absl::Minutes(10), .certificate = absl::ZeroDuration()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpLimits& limits) const {
    return HttpServer::Start({"127.0.0.1", 0},
                             {{"/livez", [] { return ProbePage(absl::OkStatus()); }}},
                             {folder_.certificate(), folder_.key(), ""}, limits);
  }

  int port() const { return server_->address().port; }

  /// One that trusts the authority alone, and whose patience is no matter.
  std::unique_ptr<httplib::SSLClient> Client() const {
    auto client = std::make_unique<httplib::SSLClient>("127.0.0.1", port());
    client->set_ca_cert_path(folder_.authority());
    client->enable_server_certificate_verification(true);
    client->set_connection_timeout(100);
    client->set_read_timeout(100);
    return client;
  }

  /// Whether a probe with a connection of its own is answered.
  bool Probe() const {
    const httplib::Result page = Client()->Get("/livez");
    return page && page->status == 200 && page->body == "ok\n";
  }

  /// A client that speaks this version of TLS, and would speak it with anybody.
  class Greeting {
   public:
    Greeting(int port, int version)
        : context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free), client_(port) {
      SSL_CTX_set_min_proto_version(context_.get(), version);
      SSL_CTX_set_max_proto_version(context_.get(), version);
      SSL_CTX_set_cipher_list(context_.get(), "ALL:@SECLEVEL=0");
      ssl_ = {SSL_new(context_.get()), SSL_free};
      SSL_set_fd(ssl_.get(), client_.socket());
      ERR_clear_error();
      done = SSL_connect(ssl_.get()) == 1;
      if (done) {
        shown = twi::testing::NameOf(SSL_get0_peer_certificate(ssl_.get()));
      } else if (const char* reason = ERR_reason_error_string(ERR_get_error())) {
        refusal = reason;
      }
    }

    /// What the server answers, in all.
    std::string Exchange(const std::string& bytes) {
      SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size()));
      std::string all;
      char some[4096];
      for (int size; (size = SSL_read(ssl_.get(), some, sizeof some)) > 0;) all.append(some, size);
      return all;
    }

    bool done = false;
    std::string shown;    ///< The name in the certificate.
    std::string refusal;  ///< What the server said instead.

   private:
    const std::shared_ptr<SSL_CTX> context_;
    const RawClient client_;
    std::shared_ptr<SSL> ssl_;
  };

  Greeting Greet(int version) const { return {port(), version}; }

  const Authority authority_;
  const CertificateFolder folder_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpTlsTest, ServesHttpsAlone) {
  EXPECT_TRUE(Probe());
  EXPECT_THAT(Exchange(port(), "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
              Not(HasSubstr("HTTP/1.1")));
  // Clients find out whether it is the one they mean.
  const auto client = Client();
  CertificateFolder::Write(folder_.authority(), Authority().certificate());
  EXPECT_EQ(client->Get("/livez").error(), httplib::Error::SSLServerVerification);
}

TEST_F(HttpTlsTest, VersionsBefore12AreRefused) {
  for (const int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    const Greeting greeting = Greet(version);
    EXPECT_FALSE(greeting.done);
    EXPECT_THAT(greeting.refusal, HasSubstr("protocol version"));
  }
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const Greeting greeting = Greet(version);
    EXPECT_TRUE(greeting.done) << greeting.refusal;
    EXPECT_EQ(greeting.shown, "first");
  }
}

TEST_F(HttpTlsTest, FilesThatWillNotDoAreSaidAtTheStart) {
  CertificateFolder::Write(folder_.key(), authority_.Sign("other").key);
  const absl::Status status = Start({}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder_.key()));
}

TEST_F(HttpTlsTest, AMismatchedPairKeepsTheOldOne) {
  const auto second = authority_.Sign("second");
  CertificateFolder::Write(folder_.certificate(), second.certificate);
  EXPECT_EQ(Greet(TLS1_3_VERSION).shown, "first");
  EXPECT_TRUE(Probe());
  CertificateFolder::Write(folder_.key(), second.key);
  EXPECT_EQ(Greet(TLS1_3_VERSION).shown, "second");
  EXPECT_TRUE(Probe());
}

TEST_F(HttpTlsTest, CertificatesChangeUnderLoadWithoutAFailure) {
  constexpr int kRotations = 100;
  std::atomic<bool> over = false;
  std::atomic<int> answered = 0;
  std::atomic<int> failed = 0;
  std::vector<std::jthread> clients;
  for (int i = 0; i < 2; ++i) {
    clients.emplace_back([&] {
      while (!over) ++(Probe() ? answered : failed);
    });
  }
  std::vector<std::string> shown;
  std::vector<std::string> expected;
  for (int i = 0; i < kRotations; ++i) {
    expected.push_back(std::to_string(i));
    folder_.Write(authority_.Sign(expected.back()));
    shown.push_back(Greet(TLS1_3_VERSION).shown);
  }
  over = true;
  clients.clear();
  EXPECT_EQ(shown, expected);
  EXPECT_EQ(failed, 0);
  EXPECT_GT(answered, 0);
}

TEST_F(HttpTlsTest, AConnectionThatHasBegunIsAnswered) {
  Greeting early = Greet(TLS1_2_VERSION);
  folder_.Write(authority_.Sign("second"));
  EXPECT_EQ(Greet(TLS1_3_VERSION).shown, "second");
  EXPECT_EQ(early.shown, "first");
  EXPECT_THAT(early.Exchange("GET /livez HTTP/1.1\r\n\r\n"), HasSubstr("\r\n\r\nok\n"));
}

TEST_F(HttpTlsTest, SlowHandshakesDoNotHoldUpAProbe) {
  std::list<RawClient> slow;
  for (int i = 0; i < 40; ++i) {
    slow.emplace_back(port());
    // The beginning of a greeting.
    if (i % 2 == 0) slow.back().Send("\x16\x03\x01");
  }
  EXPECT_TRUE(Probe());
  for (const RawClient& client : slow) EXPECT_TRUE(client.Open());
  // Nor do they hold up the end.
  server_->Stop();
}

TEST_F(HttpTlsTest, AHandshakeThatDoesNotEndIsCutOff) {
  auto server = Start({.lifetime = absl::Milliseconds(100)});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(Exchange((*server)->address().port, "\x16\x03\x01"), "");
}

}  // namespace
}  // namespace twi::server

#include "server/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace twi::server {
namespace {

using ::testing::HasSubstr;

TEST(Address, IsHostAndPort) {
  for (const char* text : {"127.0.0.1:50051", "[::1]:9464", "db.example:0", "0.0.0.0:65535"}) {
    const absl::StatusOr<Address> address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(address->ToString(), text);
  }
  EXPECT_EQ(ParseAddress("[::1]:9464")->host, "::1");
  EXPECT_EQ(ParseAddress("[::1]:9464")->port, 9464);
}

TEST(Address, AnythingElseIsRefused) {
  for (const char* text : {"", "localhost", ":80", "[]:80", "a:", "a:b", "a:-1", "a:65536",
                           "::1:80", "[::1:80", "::1]:80"}) {
    const absl::Status status = ParseAddress(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("HOST:PORT")) << text;
  }
}

TEST(Address, LoopbackIsThisMachine) {
  for (const char* host : {"127.0.0.1", "127.1.2.3", "::1", "localhost"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host :
       {"0.0.0.0", "::", "128.0.0.1", "10.0.0.1", "127.0.0.1.example", "example", ""}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

TEST(CheckListen, BeyondLoopbackMustBeMeant) {
  for (const char* listen : {"127.0.0.1:0", "[::1]:1", "localhost:1", "unix:/run/twi.sock"}) {
    EXPECT_TRUE(CheckListen(listen, false).ok()) << listen;
  }
  for (const char* listen : {"0.0.0.0:1", "[::]:1", "192.168.1.1:1", "example:1"}) {
    EXPECT_EQ(CheckListen(listen, false).code(), absl::StatusCode::kFailedPrecondition) << listen;
    EXPECT_THAT(std::string(CheckListen(listen, false).message()), HasSubstr("--insecure"));
    EXPECT_TRUE(CheckListen(listen, true).ok()) << listen;
  }
  EXPECT_EQ(CheckListen("nonsense", true).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace twi::server

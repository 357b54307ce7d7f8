#include "server/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/text_format.h"
#include "proto/descriptor_names.h"
#include "sql/errors.h"

namespace twi::server {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::MethodDescriptor;
using ::testing::HasSubstr;

const MethodDescriptor* MethodOf(const std::string& name) {
  return DescriptorPool::generated_pool()->FindMethodByName("twi.data.v1." + name);
}

class AccessTest : public ::testing::Test {
 protected:
  /// The name of the reason for which a call is turned away; empty: it is not.
  std::string Try(const std::string& method, const Access::Credentials& credentials) {
    return Try(MethodOf(method), credentials);
  }
  std::string Try(const MethodDescriptor* method, const Access::Credentials& credentials) {
    Principal* principal = nullptr;
    const absl::Status status = access_.Enter(method, credentials, &principal);
    who_ = principal == nullptr ? "" : principal->name();
    if (principal != nullptr) principal->Left();
    return sql::Reason(status);
  }
  static Access::Credentials Token(const std::string& token) {
    bearer = "Bearer " + token;
    return {.authorization = bearer};
  }
  static Access::Credentials Certificate(std::vector<std::string> names) {
    return {.certificate_names = std::move(names)};
  }
  static std::string TokenLine(const std::string& principal, const std::string& token,
                               const std::string& more = "") {
    return absl::Substitute("token { principal: '$0' sha256: '$1' $2 }\n", principal,
                            Digest::Of(token).ToString(), more);
  }

  Access access_{AllServices()};
  std::string who_;

 private:
  static inline std::string bearer;
};

TEST_F(AccessTest, NobodyWithoutAFile) {
  EXPECT_EQ(Try("QuotesService.GetQuote", {}), "CREDENTIALS_MISSING");
  EXPECT_EQ(Try("QuotesService.GetQuote", Token("x")), "CREDENTIALS_INVALID");
}

TEST_F(AccessTest, ATokenIsItsPrincipals) {
  ASSERT_TRUE(access_
                  .Load("principal { name: 'bot' allow: '*' }\nprincipal { name: 'web' }\n" +
                        TokenLine("bot", "old") + TokenLine("bot", "new") + TokenLine("web", "w"))
                  .ok());
  for (const char* token : {"old", "new"}) {
    EXPECT_EQ(Try("QuotesService.GetQuote", Token(token)), "");
    EXPECT_EQ(who_, "bot");
  }
  EXPECT_EQ(Try("QuotesService.GetQuote", {.authorization = "bearer old"}), "");
  EXPECT_EQ(Try("QuotesService.GetQuote", Token("w")), "NOT_GRANTED");
  EXPECT_EQ(who_, "web");
  for (const char* wrong :
       {"old", "Basic old", "Bearer", "Bearer ", "Bearer  old", "Bearer old "}) {
    EXPECT_EQ(Try("QuotesService.GetQuote", {.authorization = wrong}), "CREDENTIALS_INVALID")
        << wrong;
  }
}

TEST_F(AccessTest, WhatANewFileTakesBackIsGone) {
  const std::string bot = "principal { name: 'bot' allow: '*' }\n";
  ASSERT_TRUE(access_.Load(bot + TokenLine("bot", "old")).ok());
  ASSERT_TRUE(access_.Load(bot + TokenLine("bot", "new")).ok());
  EXPECT_EQ(Try("QuotesService.GetQuote", Token("old")), "CREDENTIALS_INVALID");
  EXPECT_EQ(Try("QuotesService.GetQuote", Token("new")), "");
}

TEST_F(AccessTest, ATokenExpires) {
  ASSERT_TRUE(access_
                  .Load("principal { name: 'bot' allow: '*' }\n" +
                        TokenLine("bot", "a", "expire_time { seconds: 1000 }") +
                        TokenLine("bot", "b", "expire_time { seconds: 100000000000 }"))
                  .ok());
  EXPECT_EQ(Try("QuotesService.GetQuote", Token("a")), "CREDENTIALS_INVALID");
  EXPECT_EQ(Try("QuotesService.GetQuote", Token("b")), "");
}

TEST_F(AccessTest, ACertificateIsThePrincipalsThatNamesIt) {
  ASSERT_TRUE(access_
                  .Load("principal { name: 'bot' allow: '*' certificate: 'bot.example' }\n"
                        "principal { name: 'web' allow: '*' certificate: 'spiffe://x/web' "
                        "certificate: '10.0.0.1' }\n")
                  .ok());
  EXPECT_EQ(Try("QuotesService.GetQuote", Certificate({"other", "bot.example"})), "");
  EXPECT_EQ(who_, "bot");
  EXPECT_EQ(Try("QuotesService.GetQuote", Certificate({"spiffe://x/web", "10.0.0.1"})), "");
  EXPECT_EQ(who_, "web");
  EXPECT_EQ(Try("QuotesService.GetQuote", Certificate({"bot.exampl"})), "CREDENTIALS_INVALID");
  EXPECT_EQ(Try("QuotesService.GetQuote", Certificate({"bot.example", "10.0.0.1"})),
            "CREDENTIALS_INVALID");
}

TEST_F(AccessTest, PatternsSayWhatMayBeCalled) {
  ASSERT_TRUE(access_
                  .Load("principal { name: 'bot' allow: 'QuotesService/Get*' "
                        "allow: 'LinksService/*' certificate: 'c' }")
                  .ok());
  EXPECT_EQ(Try("QuotesService.GetQuote", Certificate({"c"})), "");
  EXPECT_EQ(Try("QuotesService.CreateQuote", Certificate({"c"})), "NOT_GRANTED");
  EXPECT_EQ(Try("LinksService.CreateLink", Certificate({"c"})), "");
  EXPECT_EQ(Try("MessagesService.SaveMessage", Certificate({"c"})), "NOT_GRANTED");
}

TEST_F(AccessTest, WhoOnlyReadsWritesNothing) {
  ASSERT_TRUE(access_
                  .Load("principal { name: 'bot' allow: '*' read_only: true certificate: 'c' "
                        "administration: true }")
                  .ok());
  for (const auto* service : AllServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const MethodDescriptor* method = service->method(i);
      const bool reads =
          method->options().idempotency_level() == google::protobuf::MethodOptions::NO_SIDE_EFFECTS;
      EXPECT_EQ(Try(method, Certificate({"c"})), reads ? "" : "NOT_GRANTED") << method->full_name();
    }
  }
}

TEST_F(AccessTest, AStarIsNoGrant) {
  ASSERT_TRUE(access_
                  .Load("principal { name: 'bot' allow: '*' certificate: 'b' }\n"
                        "principal { name: 'ops' allow: '*' certificate: 'o' "
                        "administration: true }")
                  .ok());
  EXPECT_EQ(Try("CacheService.GetCacheStats", Certificate({"b"})), "");
  EXPECT_EQ(Try("CacheService.InvalidateCache", Certificate({"b"})), "NOT_GRANTED");
  EXPECT_EQ(Try("CacheService.InvalidateCache", Certificate({"o"})), "");
  // Those that run a statement as well as those written by hand.
  for (const char* method : {"AdminService.ListRunningStatements", "AdminService.GetPool"}) {
    EXPECT_EQ(Try(method, Certificate({"b"})), "NOT_GRANTED");
    EXPECT_EQ(Try(method, Certificate({"o"})), "");
  }
}

TEST(AccessOfServicesTest, AMethodIsGrantedAsItOrItsServiceSays) {
  google::protobuf::FileDescriptorProto file;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(R"(
    name: "sql.proto" dependency: "twi/data/v1/options.proto" message_type { name: "M" }
    service {
      name: "SqlService"
      method { name: "Run" input_type: "M" output_type: "M" }
      method { name: "Refresh" input_type: "M" output_type: "M"
               options { [twi.data.v1.grant]: GRANT_ADMINISTRATION } }
      options { [twi.data.v1.service_grant]: GRANT_RAW_SQL }
    })",
                                                            &file));
  DescriptorPool pool(DescriptorPool::generated_pool());
  ASSERT_NE(pool.BuildFile(file), nullptr);
  const auto* service = pool.FindServiceByName("SqlService");
  Access access({service});
  ASSERT_TRUE(
      access
          .Load("principal { name: 'a' allow: '*' certificate: 'none' }\n"
                "principal { name: 'b' allow: '*' certificate: 'sql' raw_sql: true }\n"
                "principal { name: 'c' allow: '*' certificate: 'ops' administration: true }")
          .ok());
  for (const auto& [who, method, reason] :
       {std::tuple("none", 0, "NOT_GRANTED"), std::tuple("none", 1, "NOT_GRANTED"),
        std::tuple("sql", 0, ""), std::tuple("sql", 1, "NOT_GRANTED"),
        std::tuple("ops", 0, "NOT_GRANTED"), std::tuple("ops", 1, "")}) {
    Principal* principal = nullptr;
    const absl::Status status =
        access.Enter(service->method(method), {.certificate_names = {who}}, &principal);
    EXPECT_EQ(sql::Reason(status), reason) << who << " " << method;
  }
}

TEST_F(AccessTest, WhoIsKnownMayAskForWhatThereIs) {
  ASSERT_TRUE(access_.Load("principal { name: 'bot' certificate: 'b' }").ok());
  const auto* reflection = DescriptorPool::generated_pool()->FindMethodByName(
      "grpc.reflection.v1.ServerReflection.ServerReflectionInfo");
  EXPECT_EQ(Try(reflection, Certificate({"b"})), "");
  EXPECT_EQ(Try(reflection, {}), "CREDENTIALS_MISSING");
  EXPECT_EQ(Try(nullptr, Certificate({"b"})), "");
  EXPECT_EQ(Try(nullptr, {}), "CREDENTIALS_MISSING");
  EXPECT_TRUE(Access::Open(
      DescriptorPool::generated_pool()->FindMethodByName("grpc.health.v1.Health.Check")));
  EXPECT_FALSE(Access::Open(reflection));
  EXPECT_FALSE(Access::Open(nullptr));
}

TEST_F(AccessTest, CallsInFlightHaveALimit) {
  ASSERT_TRUE(
      access_.Load("principal { name: 'bot' allow: '*' certificate: 'b' calls_in_flight: 2 }")
          .ok());
  const MethodDescriptor* method = MethodOf("QuotesService.GetQuote");
  std::vector<Principal*> held(3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(sql::Reason(access_.Enter(method, Certificate({"b"}), &held[i])),
              i < 2 ? "" : "TOO_MANY_IN_FLIGHT");
  }
  for (Principal* principal : held) principal->Left();
  EXPECT_EQ(Try(method, Certificate({"b"})), "");
  EXPECT_EQ(held[0]->in_flight(), 0);
}

TEST_F(AccessTest, CallsASecondHaveALimit) {
  const std::string file =
      "principal { name: 'bot' allow: '*' certificate: 'b' calls_per_second: 0.001 }";
  ASSERT_TRUE(access_.Load(file).ok());
  const MethodDescriptor* method = MethodOf("QuotesService.GetQuote");
  EXPECT_EQ(Try(method, Certificate({"b"})), "");
  // What has been used up does not come back with the file.
  ASSERT_TRUE(access_.Load(file).ok());
  Principal* principal = nullptr;
  const absl::Status status = access_.Enter(method, Certificate({"b"}), &principal);
  EXPECT_EQ(sql::Reason(status), "RATE_LIMITED");
  EXPECT_GT(sql::RetryDelay(status).value(), std::chrono::seconds(900));
  EXPECT_LE(sql::RetryDelay(status).value(), std::chrono::seconds(1000));
}

TEST(PrincipalTest, ASecondsCallsMayComeAtOnceAndThenOneByOne) {
  Principal principal("bot");
  const sql::Clock::time_point now = sql::Clock::now();
  int let = 0;
  while (!principal.Exceeds(100, now)) ++let;
  EXPECT_EQ(let, 100);
  EXPECT_EQ(principal.Exceeds(100, now), std::chrono::milliseconds(10));
  EXPECT_EQ(principal.Exceeds(100, now + std::chrono::milliseconds(10)), std::nullopt);
  EXPECT_NE(principal.Exceeds(100, now + std::chrono::milliseconds(10)), std::nullopt);
  // An hour of rest is worth no more than a second.
  for (let = 0; !principal.Exceeds(100, now + std::chrono::hours(1)); ++let) {
  }
  EXPECT_EQ(let, 100);
}

TEST_F(AccessTest, AllMistakesAreToldAndChangeNothing) {
  ASSERT_TRUE(access_.Load("principal { name: 'bot' allow: '*' certificate: 'b' }").ok());
  const absl::Status status = access_.Load(
      "principal { name: 'Bot' }\n"
      "principal { name: 'web' allow: 'QuoteService/*' weight: 101 calls_in_flight: -1 }\n"
      "principal { name: 'web' }\n"
      "principal { name: 'a' certificate: 'c' }\n"
      "principal { name: 'd' certificate: 'c' }\n"
      "token { principal: 'nobody' sha256: '00' }\n"
      "token { principal: 'web' sha256: 'secret' }\n" +
      TokenLine("web", "t") + TokenLine("a", "t"));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string message(status.message());
  for (const char* part :
       {"principal 'Bot': a name is", "principal web: there is no method 'QuoteService/*'",
        "principal web: its weight", "principal web: calls_in_flight is",
        "principal web: it is there twice", "principal d: the certificate 'c' is there twice",
        "token: there is no principal 'nobody'", "token of web: a SHA-256 is",
        "token of a: it is there twice"}) {
    EXPECT_THAT(message, HasSubstr(part));
  }
  EXPECT_EQ(message.find("secret"), std::string::npos);
  EXPECT_EQ(Try("QuotesService.GetQuote", Certificate({"b"})), "");
}

TEST_F(AccessTest, ARateIsOneThatCanBeKept) {
  for (const char* rate : {"-1", "1e-300", "1e300", "inf", "nan"}) {
    const absl::Status status =
        access_.Load(absl::StrCat("principal { name: 'bot' calls_per_second: ", rate, " }"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("bot: calls_per_second is 0, or")) << rate;
  }
}

TEST_F(AccessTest, WhatCannotBeReadIsToldWithItsPlace) {
  const absl::Status status = access_.Load("principal {\n  nam: 'bot'\n}\n");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("line 2, column 6: "));
}

}  // namespace
}  // namespace twi::server

// What the cache tells of itself, and what it gives up when it is told to.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "server/services/cache.h"
#include "tests/support/caching_fixture.h"
#include "twi/data/v1/quotes.pb.h"

namespace twi::server {
namespace {

using data::v1::ExplainCacheRequest;
using data::v1::ExplainCacheResponse;
using data::v1::GetCacheStatsRequest;
using data::v1::GetCacheStatsResponse;
using data::v1::InvalidateCacheRequest;
using data::v1::InvalidateCacheResponse;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <typename Response>
grpc::Status Ask(testing::RunningServer& server, const char* method,
                 const google::protobuf::Message& request, Response* response) {
  response->Clear();
  return server.Call(std::string("/twi.data.v1.CacheService/") + method, request, response);
}

/// The fields that an answer says are wrong.
std::string WrongField(const grpc::Status& status) {
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  const auto details = testing::DetailsOf(status);
  EXPECT_EQ(details.info.reason(), "FIELD_INVALID");
  return details.bad_request.field_violations_size() == 1
             ? details.bad_request.field_violations(0).field()
             : "";
}

class CacheServiceTest : public CachingTest {
 protected:
  static GetCacheStatsResponse Stats() {
    GetCacheStatsResponse stats;
    EXPECT_TRUE(Ask(*served, "GetCacheStats", GetCacheStatsRequest(), &stats).ok());
    return stats;
  }

  /// How many answers were given up.
  static int64_t Invalidate(const InvalidateCacheRequest& request) {
    InvalidateCacheResponse response;
    const grpc::Status status = Ask(*served, "InvalidateCache", request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.invalidated_count();
  }
  static InvalidateCacheRequest Key(const char* table, const char* column, const char* value) {
    InvalidateCacheRequest request;
    request.mutable_key()->set_table(table);
    request.mutable_key()->set_column(column);
    request.mutable_key()->set_value(value);
    return request;
  }

  static ExplainCacheRequest About(const std::string& operation,
                                   const google::protobuf::Message& request) {
    ExplainCacheRequest about;
    about.set_operation(operation);
    about.mutable_request()->PackFrom(request);
    return about;
  }
  static ExplainCacheResponse Explain(const std::string& method, int64_t id) {
    NumberRequest request;
    request.set_id(id);
    ExplainCacheResponse response;
    const grpc::Status status =
        Ask(*served, "ExplainCache", About("CachingService/" + method, request), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
};

TEST_P(CacheServiceTest, CountsAreTheSeeds) {
  Kept("Get", 1);
  EXPECT_EQ(Read("Get", 1, "bypass").cache, "bypass");
  const GetCacheStatsResponse stats = Stats();
  EXPECT_GE(stats.misses(), 1);
  EXPECT_GE(stats.hits(), 1);
  EXPECT_EQ(stats.total_requests(), stats.hits() + stats.misses());
  EXPECT_DOUBLE_EQ(stats.hit_rate(), 100.0 * static_cast<double>(stats.hits()) /
                                         static_cast<double>(stats.total_requests()));
  EXPECT_EQ(stats.entries(), 1);
  EXPECT_GT(stats.bytes(), 0);
  data::v1::ResetCacheStatsResponse reset;
  ASSERT_TRUE(Ask(*served, "ResetCacheStats", data::v1::ResetCacheStatsRequest(), &reset).ok());
  EXPECT_EQ(Stats().total_requests(), 0);
  EXPECT_EQ(Stats().hit_rate(), 0);
  EXPECT_EQ(Stats().entries(), 1) << "answers stay";
}

TEST_P(CacheServiceTest, WhatIsNamedIsGivenUp) {
  const auto keep = [] {
    for (int id : {1, 2}) Kept("Get", id);
    Kept("Sum", 1);
    Kept("Score", 1);
  };
  InvalidateCacheRequest request;
  keep();
  request.set_all(true);
  EXPECT_EQ(Invalidate(request), 4);
  keep();
  request.set_operation("CachingService/Get");
  EXPECT_EQ(Invalidate(request), 2);
  keep();
  request.set_table("number");
  EXPECT_EQ(Invalidate(request), 3) << "by their keys and as a whole";
  keep();
  EXPECT_EQ(Invalidate(Key("number", "id", "2")), 2) << "by the key and as a whole";
  EXPECT_EQ(Invalidate(Key("number", "id", "9")), 0);
  EXPECT_EQ(Stats().invalidations(), 11);
  EXPECT_TRUE(IsKept("Get", 1));
  EXPECT_FALSE(IsKept("Get", 2));
}

TEST_P(CacheServiceTest, WhatNothingDependsOnIsRefused) {
  InvalidateCacheResponse response;
  const auto wrong = [&](const InvalidateCacheRequest& request) {
    return WrongField(Ask(*served, "InvalidateCache", request, &response));
  };
  InvalidateCacheRequest request;
  EXPECT_EQ(wrong(request), "what");
  request.set_all(false);
  EXPECT_EQ(wrong(request), "all");
  request.set_operation("CachingService/Gets");
  EXPECT_EQ(wrong(request), "operation");
  request.set_table("numbers");
  EXPECT_EQ(wrong(request), "table");
  EXPECT_EQ(wrong(Key("numbers", "id", "1")), "key.table");
  EXPECT_EQ(wrong(Key("number", "team", "1")), "key.column");
  EXPECT_EQ(wrong(Key("number", "", "1")), "key.column");
}

TEST_P(CacheServiceTest, ExplainsWhatAnAnswerDependsOnAndHowItFares) {
  ExplainCacheResponse explained = Explain("Score", 3);
  EXPECT_EQ(explained.refusal(), "");
  EXPECT_EQ(explained.ttl().seconds(), 300);
  EXPECT_FALSE(explained.has_age());
  EXPECT_TRUE(explained.has_lag());
  std::map<std::string, std::string> keys;
  for (const auto& dependency : explained.dependencies()) {
    keys[dependency.table()] = dependency.key().column() + "=" + dependency.key().value();
  }
  EXPECT_THAT(keys, ElementsAre(std::pair("score", "team=3"), std::pair("team", "id=3")));
  Kept("Score", 3);
  EXPECT_TRUE(Explain("Score", 3).has_age());
  EXPECT_FALSE(Explain("Score", 4).has_age());
  Run("update score set value = 9 where team = 3");
  UntilTold();
  EXPECT_FALSE(Explain("Score", 3).has_age()) << "it is wrong now";

  explained = Explain("Sum", 3);
  ASSERT_EQ(explained.dependencies_size(), 1);
  EXPECT_EQ(explained.dependencies(0).table(), "number");
  EXPECT_FALSE(explained.dependencies(0).has_key());
  EXPECT_EQ(Explain("Untold", 3).refusal(),
            "no changes are told of untold, which is not permanent");
  NumberRow row;
  ASSERT_TRUE(Ask(*served, "ExplainCache", About("CachingService/Put", row), &explained).ok());
  EXPECT_EQ(explained.refusal(), "the operation has no cache policy");
  EXPECT_THAT(explained.dependencies(), IsEmpty());
}

TEST_P(CacheServiceTest, WhatCannotBeExplainedIsRefused) {
  ExplainCacheResponse response;
  const auto wrong = [&](const ExplainCacheRequest& request) {
    return WrongField(Ask(*served, "ExplainCache", request, &response));
  };
  EXPECT_EQ(wrong(About("CachingService/Gets", NumberRequest())), "operation");
  EXPECT_EQ(wrong(About("CachingService/Get", NumberRow())), "request");
  ExplainCacheRequest damaged = About("CachingService/Get", NumberRequest());
  damaged.mutable_request()->set_value("\x08");
  EXPECT_EQ(wrong(damaged), "request");
}

TEST(CacheServiceWithoutCacheTest, SaysThatThereIsNone) {
  testing::RunningServer server;
  GetCacheStatsResponse stats;
  EXPECT_TRUE(Ask(server, "GetCacheStats", GetCacheStatsRequest(), &stats).ok());
  EXPECT_EQ(stats.total_requests(), 0);
  InvalidateCacheRequest all;
  all.set_all(true);
  InvalidateCacheResponse given_up;
  EXPECT_TRUE(Ask(server, "InvalidateCache", all, &given_up).ok());
  ExplainCacheRequest request;
  request.set_operation("QuotesService/GetQuote");
  data::v1::GetQuoteRequest quote;
  request.mutable_request()->PackFrom(quote);
  ExplainCacheResponse explained;
  EXPECT_EQ(WrongField(Ask(server, "ExplainCache", request, &explained)), "serial_id");
  quote.set_serial_id(1);
  request.mutable_request()->PackFrom(quote);
  ASSERT_TRUE(Ask(server, "ExplainCache", request, &explained).ok());
  EXPECT_EQ(explained.refusal(), "the server keeps no answers");
}

INSTANTIATE_TEST_SUITE_P(Ways, CacheServiceTest, testing::kWays, testing::NameOfWay);

}  // namespace
}  // namespace twi::server

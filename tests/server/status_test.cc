#include "server/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "server/status_chart.h"
#include "server/status_page.h"

namespace twi::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Optional;
using ::testing::SizeIs;

class StatusTest : public testing::Test {
 protected:
  /// So many calls of a method, each of which took that long.
  static void Serve(MethodMetrics* method, int calls, double seconds,
                    absl::StatusCode code = absl::StatusCode::kOk) {
    for (int i = 0; i < calls; ++i) {
      method->Started();
      method->Handled(code, seconds);
    }
  }

  void Take(absl::Duration elapsed = absl::Seconds(10)) { history_.Take(metrics_.Read(), elapsed); }

  const MethodStatus& Find(const std::string& name) {
    methods_ = history_.Methods();
    for (const MethodStatus& method : methods_) {
      if (method.name == name) return method;
    }
    ADD_FAILURE() << name << " is not there";
    return methods_.emplace_back();
  }

  Metrics metrics_{{"1.2.3", "abcdef", "1.51.1"}};
  MethodMetrics* get_ = metrics_.ForMethod("t.v1.TestService", "Get", MethodType::kUnary);
  MethodMetrics* watch_ =
      metrics_.ForMethod("t.v1.TestService", "Watch", MethodType::kServerStream);
  StatusHistory history_;
  std::vector<MethodStatus> methods_;
};

TEST_F(StatusTest, ASampleIsWhatHappenedBetweenTwoLooks) {
  Serve(get_, 1000, 0.001);
  Take();
  EXPECT_THAT(history_.samples(), SizeIs(0));
  Serve(get_, 30, 0.002);
  Serve(get_, 10, 0.006, absl::StatusCode::kInternal);
  Serve(get_, 5, 0.006, absl::StatusCode::kNotFound);
  Take(absl::Seconds(5));
  ASSERT_THAT(history_.samples(), SizeIs(1));
  const StatusSample& sample = history_.samples().front();
  EXPECT_DOUBLE_EQ(sample.calls_per_second, 9);
  EXPECT_DOUBLE_EQ(sample.failures_per_second, 2) << "what callers did wrong is no failure";
  EXPECT_THAT(sample.mean_seconds, Optional(testing::DoubleNear(0.15 / 45, 1e-9)));
  EXPECT_EQ(sample.hit_ratio, std::nullopt);
  EXPECT_EQ(sample.lag_seconds, std::nullopt);
  Take();
  EXPECT_DOUBLE_EQ(history_.samples().back().calls_per_second, 0);
  EXPECT_EQ(history_.samples().back().mean_seconds, std::nullopt);
}

TEST_F(StatusTest, HitsAreToldOfThoseWhoLookedIntoTheCache) {
  OperationMetrics* operation = metrics_.ForOperation("TestService/Get", /*cached=*/true);
  Take();
  for (CacheResult result : {CacheResult::kHit, CacheResult::kStale, CacheResult::kJoin,
                             CacheResult::kAbsent, CacheResult::kBypassed, CacheResult::kUntold}) {
    operation->Read(result);
  }
  Serve(get_, 6, 0.001);
  CacheReading cache;
  cache.lag = 0.25;
  metrics_.SetCache([&] { return cache; });
  Take();
  EXPECT_THAT(history_.samples().back().hit_ratio, Optional(0.75));
  EXPECT_THAT(history_.samples().back().lag_seconds, Optional(0.25));
  EXPECT_THAT(Find("TestService/Get").hit_ratio, Optional(0.75));
}

TEST_F(StatusTest, QuantilesAreOfTheLastSamplesAlone) {
  Take();
  Serve(get_, 1000, 10);
  Take();
  EXPECT_THAT(Find("TestService/Get").p50_seconds, Optional(testing::Ge(5.0)));
  for (size_t i = 0; i < StatusHistory::kLately; ++i) Take();
  EXPECT_THAT(history_.Methods(), SizeIs(0)) << "nobody called it lately";
  Serve(get_, 98, 0.0002);
  Serve(get_, 2, 0.2);
  Take();
  const MethodStatus& method = Find("TestService/Get");
  EXPECT_EQ(method.calls, 100);
  EXPECT_THAT(method.p50_seconds,
              Optional(testing::AllOf(testing::Gt(0.0001), testing::Le(0.00025))));
  EXPECT_THAT(method.p99_seconds, Optional(testing::AllOf(testing::Gt(0.1), testing::Le(0.25))));
}

TEST_F(StatusTest, MethodsHaveAsManySamplesAsTheWhole) {
  Take();
  for (size_t i = 0; i < StatusHistory::kSamples + 20; ++i) {
    if (i == 100) Serve(get_, 1, 0.001);
    Take();
  }
  Serve(watch_, 1, 60);
  Take();
  EXPECT_THAT(history_.samples(), SizeIs(StatusHistory::kSamples));
  const MethodStatus& watch = Find("TestService/Watch");
  EXPECT_THAT(watch.samples, SizeIs(StatusHistory::kSamples));
  EXPECT_DOUBLE_EQ(watch.samples.back().calls_per_second, 0.1);
  EXPECT_FALSE(watch.unary);
  EXPECT_EQ(watch.p99_seconds, std::nullopt) << "how long a stream is held is its caller's wish";
  EXPECT_EQ(history_.samples().back().mean_seconds, std::nullopt);
}

TEST(StatusFailuresTest, LikeOnesAreOne) {
  Failures failures;
  const auto fail = [&](const std::string& method, absl::StatusCode code, absl::Time when) {
    failures.Add({.method = method, .code = code, .reason = "R", .principal = "p", .last = when});
  };
  const absl::Time begin = absl::FromUnixSeconds(1000);
  fail("S/A", absl::StatusCode::kInternal, begin);
  for (int i = 1; i <= 500; ++i) {
    fail("S/B", absl::StatusCode::kUnavailable, begin + absl::Seconds(i));
  }
  ASSERT_THAT(failures.Latest(), SizeIs(2));
  const Failure latest = failures.Latest().front();
  EXPECT_EQ(latest.method, "S/B");
  EXPECT_EQ(latest.times, 500);
  EXPECT_EQ(latest.first, begin + absl::Seconds(1));
  EXPECT_EQ(latest.last, begin + absl::Seconds(500));

  for (int i = 0; i < 100; ++i) {
    fail(absl::StrCat("S/", i), absl::StatusCode::kInternal, begin + absl::Seconds(600));
  }
  EXPECT_THAT(failures.Latest(), SizeIs(Failures::kMost));
  EXPECT_EQ(failures.Latest().front().method, "S/99");
}

TEST(StatusChartTest, StretchesOfValuesBecomeTheirMean) {
  EXPECT_THAT(Thinned({1, std::nullopt}, 2), ElementsAre(Optional(1.0), std::nullopt));
  EXPECT_THAT(Thinned({1, 3, std::nullopt, 5, std::nullopt, std::nullopt}, 3),
              ElementsAre(Optional(2.0), Optional(5.0), std::nullopt));
  // A gap divides the line.
  const std::string line = Line("spark", {1, 2, std::nullopt, 1});
  size_t begun = 0;
  for (size_t at = line.find("class=\"line\""); (at = line.find('M', at + 1)) != line.npos;)
    ++begun;
  EXPECT_EQ(begun, 2u);
  EXPECT_THAT(Line("spark", {}), Not(HasSubstr("nan")));
  EXPECT_THAT(Line("spark", {0, 0}), Not(HasSubstr("nan")));
}

/// A status with this text wherever a text comes from outside.
Status With(const std::string& text) {
  Status status{.build = {text, text, text}, .host = text};
  status.now = absl::FromUnixSeconds(2000);
  status.started = absl::FromUnixSeconds(1000);
  status.ready = absl::UnavailableError(text);
  status.pool = PoolReading{.busy = 3, .max = 20};
  status.cache = CacheReading{};
  status.connections = {{{.kind = sql::ConnectionActivity::Kind::kSession,
                          .state = sql::ConnectionActivity::State::kRunning,
                          .statements = {{.operation = text, .fingerprint = text},
                                         {.operation = "", .fingerprint = text}}}}};
  status.in_flight = {{text, 3}};
  status.samples = {StatusSample{}, StatusSample{.calls_per_second = 5, .hit_ratio = 0.5}};
  status.tick = absl::Seconds(10);
  MethodStatus method{.name = text, .calls = 5, .p99_seconds = 1};
  status.busiest = {method};
  status.slowest = {method};
  status.slow_statements = {{.operation = text, .fingerprint = text}};
  status.failures = {{.method = text,
                      .code = absl::StatusCode::kInternal,
                      .reason = text,
                      .principal = text,
                      .last = status.now}};
  return status;
}

TEST(StatusHtmlTest, TextsAreHarmlessWhereverTheyStand) {
  const std::string html = ToHtml(With("<script>alert(\"1\")</script>'&"), /*live=*/false);
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("alert(\"1\")")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;"));
  size_t told = 0;
  for (size_t at = 0; (at = html.find("&lt;script", at)) != html.npos; ++at) ++told;
  EXPECT_EQ(told, 15u) << "each text that the page tells";
}

TEST(StatusHtmlTest, IsWholeInItself) {
  const std::string html = ToHtml(With("x"), /*live=*/false);
  for (const char* outside : {"//", "src=", "url(", "@import", "<link", "<script", "http"}) {
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  }
  for (const char* id : {"busiest", "slowest", "connections", "slow", "errors"}) {
    EXPECT_THAT(html, HasSubstr(absl::StrCat("id=\"", id, "\"")));
  }
  EXPECT_THAT(ToHtml(With("x"), /*live=*/true), HasSubstr("http-equiv=\"refresh\" content=\"10\""));
}

TEST(StatusHtmlTest, SaysWhatIsNotThere) {
  const Status nothing{.tick = absl::Seconds(10)};
  const std::string html = ToHtml(nothing, /*live=*/false);
  EXPECT_THAT(html, HasSubstr("No calls yet"));
  EXPECT_THAT(html, HasSubstr("There are no connections"));
  EXPECT_THAT(html, HasSubstr("schema not known"));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
  const auto json = nlohmann::json::parse(ToJson(nothing));
  EXPECT_TRUE(json["pool"].is_null());
  EXPECT_TRUE(json["connections"].is_null());
  EXPECT_THAT(json["samples"], SizeIs(0));
}

TEST(StatusJsonTest, TellsWhatThePageTells) {
  const auto json = nlohmann::json::parse(ToJson(With("\"\xff<")));
  const std::string text = "\"\xef\xbf\xbd<";
  EXPECT_EQ(json["host"], text);
  EXPECT_EQ(json["not_ready_because"], text);
  EXPECT_FALSE(json["ready"]);
  EXPECT_EQ(json["uptime_seconds"], 1000);
  EXPECT_EQ(json["pool"]["busy"], 3);
  EXPECT_EQ(json["connections"][0]["state"], "running");
  EXPECT_EQ(json["connections"][0]["statements"][1]["fingerprint"], text);
  EXPECT_EQ(json["samples"][1]["hit_ratio"], 0.5);
  EXPECT_TRUE(json["samples"][0]["hit_ratio"].is_null());
  EXPECT_EQ(json["busiest"][0]["p99_seconds"], 1);
  EXPECT_EQ(json["slow_statements"][0]["operation"], text);
  EXPECT_EQ(json["failures"][0]["code"], "INTERNAL");
}

TEST(StatusPageTest, CollectsWithoutADatabase) {
  Metrics metrics({"1.2.3", "abcdef", "1.51.1"});
  SlowQueries slow(std::chrono::milliseconds(500));
  for (int i = 1; i <= 3; ++i) {
    slow.Add({.operation = "S/Slow",
              .ended = absl::FromUnixSeconds(i),
              .execution = std::chrono::seconds(i == 2 ? 9 : 1),
              .code = i == 1 ? absl::StatusCode::kInternal : absl::StatusCode::kOk});
  }
  Failures failures;
  failures.Add({.method = "S/M", .code = absl::StatusCode::kInternal, .last = absl::Now()});
  MethodMetrics* watch = metrics.ForMethod("t.Health", "Watch", MethodType::kServerStream);
  MethodMetrics* get = metrics.ForMethod("t.Test", "Get", MethodType::kUnary);
  StatusPage page({.metrics = &metrics,
                   .slow_queries = &slow,
                   .failures = &failures,
                   .ready = [] { return absl::UnavailableError("starting"); }},
                  {"1.2.3", "abcdef", "1.51.1"}, absl::Milliseconds(5));
  sql::Pool pool({.dsn = "host=/nonexistent dbname=none"});
  page.SetPool(&pool);
  metrics.SetSchemaVersion(7);
  for (int i = 0; i < 3; ++i) watch->Started();
  Status status;
  do {
    get->Started();
    get->Handled(absl::StatusCode::kOk, 0.001);
    status = page.Collect();
  } while (status.busiest.empty());
  EXPECT_EQ(status.ready.message(), "starting");
  EXPECT_EQ(status.schema, 7);
  EXPECT_FALSE(status.pool);
  ASSERT_TRUE(status.connections);
  EXPECT_EQ(status.connections->front().state, sql::ConnectionActivity::State::kClosed);
  ASSERT_THAT(status.in_flight, SizeIs(1));
  EXPECT_EQ(status.in_flight[0].method, "Health/Watch");
  EXPECT_EQ(status.in_flight[0].calls, 3);
  ASSERT_THAT(status.slow_statements, SizeIs(1));
  EXPECT_EQ(status.slow_statements[0].times, 3);
  EXPECT_EQ(status.slow_statements[0].failed, 1);
  EXPECT_EQ(status.slow_statements[0].longest, std::chrono::seconds(9));
  EXPECT_EQ(status.slow_statements[0].last, absl::FromUnixSeconds(3));
  ASSERT_THAT(status.failures, SizeIs(1));
  EXPECT_THAT(status.slowest, SizeIs(1));
  EXPECT_GT(status.samples.size(), 0u);

  pool.Stop();
  EXPECT_FALSE(page.Collect().connections) << "a pool that has stopped does not answer";
  page.SetPool(nullptr);
  EXPECT_FALSE(page.Collect().connections);
}

}  // namespace
}  // namespace twi::server

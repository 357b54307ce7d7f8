#include "server/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "nlohmann/json.hpp"
#include "server/span_exporter.h"

namespace twi::server {
namespace {

using ::testing::Not;
using ::testing::StartsWith;

constexpr char kParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceParentTest, IsReadAsItsStandardHasIt) {
  const auto parent = TraceParent::Parse(kParent);
  ASSERT_TRUE(parent);
  EXPECT_EQ(parent->trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(parent->span_id, "00f067aa0ba902b7");
  EXPECT_TRUE(parent->sampled);
  std::string other = kParent;
  for (const auto& [last, sampled] : {std::pair('0', false),
                                      {'1', true},
                                      {'2', false},
                                      {'a', false},
                                      {'b', true},
                                      {'e', false},
                                      {'f', true}}) {
    other.back() = last;
    ASSERT_TRUE(TraceParent::Parse(other));
    EXPECT_EQ(TraceParent::Parse(other)->sampled, sampled) << last;
  }
}

TEST(TraceParentTest, AnythingElseIsNone) {
  const std::string parent = kParent;
  for (size_t length = 0; length < parent.size(); ++length) {
    EXPECT_FALSE(TraceParent::Parse(parent.substr(0, length))) << length;
  }
  for (size_t at = 0; at < parent.size(); ++at) {
    std::string wrong = parent;
    for (const char c : {'g', 'A', '\0', '\xff'}) {
      wrong[at] = c;
      EXPECT_FALSE(TraceParent::Parse(wrong)) << wrong;
    }
  }
  EXPECT_FALSE(TraceParent::Parse("ff" + parent.substr(2)));
  EXPECT_FALSE(TraceParent::Parse(parent + "-"));
  EXPECT_TRUE(TraceParent::Parse("01" + parent.substr(2) + "-more"));
  EXPECT_FALSE(TraceParent::Parse("01" + parent.substr(2) + "more"));
  EXPECT_FALSE(TraceParent::Parse("00-" + std::string(32, '0') + parent.substr(35)));
  EXPECT_FALSE(TraceParent::Parse(parent.substr(0, 36) + std::string(16, '0') + "-01"));
}

TEST(TraceTest, EachCallHasASpanOfItsOwn) {
  const Trace one(*TraceParent::Parse(kParent), nullptr);
  const Trace two(*TraceParent::Parse(kParent), nullptr);
  EXPECT_FALSE(one.wanted());
  EXPECT_THAT(one.ToTraceparent(), StartsWith("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
  EXPECT_TRUE(TraceParent::Parse(one.ToTraceparent()));
  EXPECT_NE(one.ToTraceparent(), two.ToTraceparent());
  EXPECT_NE(one.ToTraceparent(), kParent);
}

TEST(SpanExporterTest, EndpointsAreHostsWithPorts) {
  const auto address = SpanExporter::ParseEndpoint("http://collector:4318/");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->ToString(), "collector:4318");
  EXPECT_EQ(SpanExporter::ParseEndpoint("http://[::1]:1")->host, "::1");
  for (const char* wrong : {"", "collector:4318", "https://a:1", "http://a", "http://a:1/v1"}) {
    EXPECT_FALSE(SpanExporter::ParseEndpoint(wrong).ok()) << wrong;
  }
}

TEST(SpanExporterTest, TextsAreWrittenWhateverTheyAre) {
  Span span{.trace_id = "t", .span_id = "s", .parent_id = "p", .name = "\"\xff"};
  span.begin = absl::FromUnixNanos(1767323045123456789);
  span.end = span.begin + absl::Nanoseconds(1);
  span.failed = true;
  const auto json = nlohmann::json::parse(ToOtlp({span, span}, "1.2.3"));
  const auto& spans = json["resourceSpans"][0]["scopeSpans"][0]["spans"];
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0]["name"], "\"\xef\xbf\xbd");
  EXPECT_EQ(spans[0]["startTimeUnixNano"], "1767323045123456789");
  EXPECT_EQ(spans[0]["endTimeUnixNano"], "1767323045123456790");
  EXPECT_EQ(spans[0]["status"]["code"], 2);
  EXPECT_EQ(spans[0]["kind"], 2);
}

TEST(SpanExporterTest, WithoutACollectorSpansAreCountedAndGone) {
  Metrics metrics({"1.2.3", "abcdef", "1.51.1"});
  {
    // Nobody listens on port 1.
    SpanExporter exporter({"127.0.0.1", 1}, "1.2.3", &metrics, absl::Hours(1));
    for (int i = 0; i < 10; ++i) exporter.Add({});
    EXPECT_THAT(metrics.Page(), Not(::testing::HasSubstr("result=\"not_taken\"} 10")));
  }
  EXPECT_THAT(metrics.Page(), ::testing::HasSubstr("result=\"not_taken\"} 10"));
}

TEST(SpanExporterTest, WhoeverAddsNeverWaits) {
  // It takes connections and never answers.
  const int silent = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{.sin_family = AF_INET,
                      .sin_port = 0,
                      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)},
                      .sin_zero = {}};
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(silent, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(silent, 5), 0);
  ASSERT_EQ(getsockname(silent, reinterpret_cast<sockaddr*>(&address), &size), 0);
  Metrics metrics({"1.2.3", "abcdef", "1.51.1"});
  {
    SpanExporter exporter({"127.0.0.1", ntohs(address.sin_port)}, "1.2.3", &metrics);
    const auto none_dropped = [&] {
      return absl::StrContains(metrics.Page(), "result=\"queue_full\"} 0");
    };
    size_t added = 0;
    while (none_dropped()) {
      for (int i = 0; i < 1000; ++i) exporter.Add({});
      ASSERT_LT(added += 1000, 1'000'000u);
    }
    EXPECT_GT(added, SpanExporter::kMost);
  }
  EXPECT_THAT(metrics.Page(), ::testing::HasSubstr("result=\"sent\"} 0"));
  close(silent);
}

}  // namespace
}  // namespace twi::server

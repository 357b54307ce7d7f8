#include "server/metrics.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <latch>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace twi::server {
namespace {

using ::testing::Contains;
using ::testing::Not;

/// A family as the page tells it.
struct Family {
  std::string type;
  std::string help;
  std::vector<std::string> labels;
  int series = 0;
};

std::vector<std::string> Lines(const std::string& page) {
  return absl::StrSplit(page, '\n', absl::SkipEmpty());
}

std::vector<std::string> LabelNames(absl::string_view sample) {
  std::vector<std::string> names;
  const size_t open = sample.find('{');
  if (open == sample.npos) return names;
  const absl::string_view inside = sample.substr(open + 1, sample.find('}') - open - 1);
  for (absl::string_view label : absl::StrSplit(inside, ',')) {
    const std::string name(label.substr(0, label.find('=')));
    if (name != "le") names.push_back(name);
  }
  return names;
}

std::map<std::string, Family> Families(const std::string& page) {
  std::map<std::string, Family> families;
  Family* current = nullptr;
  for (absl::string_view line : Lines(page)) {
    if (absl::ConsumePrefix(&line, "# HELP ")) {
      const std::pair<std::string, std::string> help =
          absl::StrSplit(line, absl::MaxSplits(' ', 1));
      current = &families[help.first];
      current->help = help.second;
    } else if (absl::ConsumePrefix(&line, "# TYPE ")) {
      const std::pair<std::string, std::string> type = absl::StrSplit(line, ' ');
      families[type.first].type = type.second;
    } else {
      current->labels = LabelNames(line);
      ++current->series;
    }
  }
  return families;
}

/// The value of one series, by its text on the page; -1 when it is not there.
double Value(const Metrics& metrics, absl::string_view series) {
  for (absl::string_view line : Lines(metrics.Page())) {
    double value;
    if (absl::ConsumePrefix(&line, series) && absl::ConsumePrefix(&line, " ") &&
        absl::SimpleAtod(line, &value)) {
      return value;
    }
  }
  return -1;
}

class MetricsTest : public testing::Test {
 protected:
  Metrics metrics_{{.version = "1.2.3", .commit = "abcdef", .grpc = "1.51.1"}};
};

/// Everything that the service can have, so that the page is complete.
class FullMetricsTest : public MetricsTest {
 protected:
  FullMetricsTest() {
    metrics_.ForMethod("twi.data.v1.QuotesService", "GetQuote", MethodType::kUnary);
    metrics_.ForOperation("QuotesService/GetQuote", /*cached=*/true);
    metrics_.SetPool([] { return PoolReading(); });
    metrics_.SetCache([] { return CacheReading{.lag = 0}; });
  }
};

TEST_F(FullMetricsTest, NamesTypesAndLabelsAreTheGoldenOnes) {
  std::vector<std::string> lines;
  for (const auto& [name, family] : Families(metrics_.Page())) {
    lines.push_back(absl::StrCat(name, " ", family.type, family.labels.empty() ? "" : " ",
                                 absl::StrJoin(family.labels, ",")));
  }
  const std::string path = TWI_SOURCE_FOLDER "/tests/server/metrics.golden";
  std::ostringstream golden;
  golden << std::ifstream(path).rdbuf();
  EXPECT_EQ(absl::StrJoin(lines, "\n") + "\n", golden.str())
      << "Dashboards rely on these. If the change is meant, " << path << " must say the same.";
}

TEST_F(FullMetricsTest, NamesFollowTheRulesOfPrometheus) {
  for (const auto& [name, family] : Families(metrics_.Page())) {
    SCOPED_TRACE(name);
    EXPECT_TRUE(absl::StartsWith(name, "grpc_server_") || absl::StartsWith(name, "twi_data_") ||
                absl::StartsWith(name, "process_"));
    EXPECT_EQ(absl::EndsWith(name, "_total"), family.type == "counter");
    if (family.type == "histogram") {
      EXPECT_TRUE(absl::EndsWith(name, "_seconds"));
    }
    EXPECT_TRUE(absl::EndsWith(family.help, ".")) << family.help;
    const absl::string_view unit = absl::StripSuffix(name, "_total");
    for (const char* other : {"_ms", "_us", "milliseconds", "_minutes", "_kb", "_mb", "_percent"}) {
      EXPECT_FALSE(absl::EndsWith(unit, other));
    }
    for (const std::string& label : family.labels) {
      // A label that is part of the name, or that a scrape adds by itself.
      EXPECT_THAT((std::set<std::string>{"le", "quantile", "job", "instance"}),
                  Not(Contains(label)));
    }
  }
}

TEST_F(FullMetricsTest, ServicesAloneDecideHowManySeriesThereAre) {
  MethodMetrics* method = metrics_.ForMethod("twi.data.v1.S", "M", MethodType::kUnary);
  OperationMetrics* operation = metrics_.ForOperation("S/M");
  const auto everything = [&](int from, int to) {
    for (int i = from; i < to; ++i) {
      method->Started();
      method->Handled(static_cast<absl::StatusCode>(i), 0.1);
      metrics_.unknown_method()->Started();
      metrics_.unknown_method()->Handled(absl::StatusCode::kUnimplemented, 0.1);
      operation->Failed(absl::StrCat(i % 10, i / 10 % 10, "000"));
      operation->Read(static_cast<CacheResult>(i % 7));
    }
  };
  everything(0, 100);
  const size_t lines = Lines(metrics_.Page()).size();
  everything(100, 400);
  EXPECT_EQ(Lines(metrics_.Page()).size(), lines);

  std::map<std::string, Family> families = Families(metrics_.Page());
  EXPECT_EQ(families["grpc_server_started_total"].series, 3);
  EXPECT_LE(families["grpc_server_handled_total"].series, 3 * 17);
  EXPECT_LE(families["twi_data_db_query_errors_total"].series, 2 * 11);
}

TEST_F(MetricsTest, SeriesOfAMethodBeginAtZero) {
  metrics_.ForMethod("twi.data.v1.S", "M", MethodType::kServerStream);
  const std::string labels =
      R"({grpc_method="M",grpc_service="twi.data.v1.S",grpc_type="server_stream"})";
  EXPECT_EQ(Value(metrics_, "grpc_server_started_total" + labels), 0);
  EXPECT_EQ(Value(metrics_, "grpc_server_msg_received_total" + labels), 0);
  EXPECT_EQ(Value(metrics_, "grpc_server_msg_sent_total" + labels), 0);
  EXPECT_EQ(Value(metrics_, "grpc_server_handling_seconds_count" + labels), 0);
  const auto handled = [&](absl::string_view code) {
    return Value(metrics_, absl::StrCat(R"(grpc_server_handled_total{grpc_code=")", code, R"(",)",
                                        labels.substr(1)));
  };
  for (const char* code :
       {"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
        "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",
        "Unimplemented", "Internal", "Unavailable", "DataLoss"}) {
    EXPECT_EQ(handled(code), 0) << code;
  }
  EXPECT_EQ(handled("OutOfRange"), -1);
}

TEST_F(MetricsTest, CountsACallFromStartToStatus) {
  MethodMetrics* method = metrics_.ForMethod("s.S", "M", MethodType::kUnary);
  const std::string in_flight = R"(grpc_server_in_flight{grpc_method="M",grpc_service="s.S"})";
  const std::string labels = R"(grpc_method="M",grpc_service="s.S",grpc_type="unary")";

  method->Started();
  method->Received();
  EXPECT_EQ(Value(metrics_, in_flight), 1);
  EXPECT_EQ(Value(metrics_, absl::StrCat("grpc_server_started_total{", labels, "}")), 1);
  EXPECT_EQ(Value(metrics_, absl::StrCat("grpc_server_msg_received_total{", labels, "}")), 1);

  method->Sent();
  method->Handled(absl::StatusCode::kNotFound, 0.003);
  EXPECT_EQ(Value(metrics_, in_flight), 0);
  EXPECT_EQ(Value(metrics_, absl::StrCat("grpc_server_msg_sent_total{", labels, "}")), 1);
  EXPECT_EQ(Value(metrics_,
                  absl::StrCat(R"(grpc_server_handled_total{grpc_code="NotFound",)", labels, "}")),
            1);
  const auto bucket = [&](absl::string_view le) {
    return Value(metrics_,
                 absl::StrCat("grpc_server_handling_seconds_bucket{", labels, ",le=\"", le, "\"}"));
  };
  EXPECT_EQ(bucket("0.0025"), 0);
  EXPECT_EQ(bucket("0.005"), 1);
  EXPECT_EQ(bucket("30"), 1);
  EXPECT_DOUBLE_EQ(Value(metrics_, absl::StrCat("grpc_server_handling_seconds_sum{", labels, "}")),
                   0.003);
}

TEST_F(MetricsTest, OverrunsReachFromAMillisecondToSeconds) {
  metrics_.Overran(0.0005);
  metrics_.Overran(0.045);
  metrics_.Overran(6);
  const auto within = [&](absl::string_view le) {
    return Value(metrics_,
                 absl::StrCat("twi_data_deadline_overrun_seconds_bucket{le=\"", le, "\"}"));
  };
  EXPECT_EQ(within("0.001"), 1);
  EXPECT_EQ(within("0.04"), 1);
  EXPECT_EQ(within("0.05"), 2);
  EXPECT_EQ(within("2.5"), 2);
  EXPECT_EQ(within("10"), 3);
}

TEST_F(MetricsTest, UnusualCodesAppearWhenTheyCount) {
  MethodMetrics* method = metrics_.ForMethod("s.S", "M", MethodType::kUnary);
  const auto count = [&](absl::StatusCode code) {
    method->Started();
    method->Handled(code, 0);
  };
  const auto handled = [&](absl::string_view code) {
    return Value(metrics_,
                 absl::StrCat(R"(grpc_server_handled_total{grpc_code=")", code,
                              R"(",grpc_method="M",grpc_service="s.S",grpc_type="unary"})"));
  };
  count(absl::StatusCode::kOutOfRange);
  count(absl::StatusCode::kOutOfRange);
  EXPECT_EQ(handled("OutOfRange"), 2);
  count(static_cast<absl::StatusCode>(4711));
  EXPECT_EQ(handled("Unknown"), 1);
}

TEST_F(MetricsTest, UnknownMethodsAreOneSeries) {
  metrics_.unknown_method()->Started();
  metrics_.unknown_method()->Handled(absl::StatusCode::kUnimplemented, 0);
  EXPECT_EQ(Value(metrics_,
                  R"(grpc_server_handled_total{grpc_code="Unimplemented",grpc_method="unknown",)"
                  R"(grpc_service="unknown",grpc_type="bidi_stream"})"),
            1);
}

TEST_F(MetricsTest, CountsReadsByWhereTheirAnswersCameFrom) {
  OperationMetrics* operation = metrics_.ForOperation("S/M", /*cached=*/true);
  const auto count = [&](absl::string_view reason, absl::string_view result) {
    return Value(metrics_, absl::StrCat(R"(twi_data_cache_requests_total{operation="S/M",reason=")",
                                        reason, R"(",result=")", result, R"("})"));
  };
  EXPECT_EQ(count("fresh", "hit"), 0);
  EXPECT_EQ(count("absent", "miss"), 0);
  EXPECT_EQ(count("untold", "bypass"), -1);
  operation->Read(CacheResult::kUntold);
  EXPECT_EQ(count("untold", "bypass"), 1);
  metrics_.ForOperation("S/Write");
  EXPECT_EQ(Families(metrics_.Page())["twi_data_cache_requests_total"].series, 3);
}

TEST_F(MetricsTest, AsksTheCacheAtEachScrape) {
  EXPECT_EQ(Value(metrics_, "twi_data_cache_entries"), -1);
  CacheReading reading;
  reading.entries = 3;
  reading.changed = 4;
  reading.by_hand = 5;
  metrics_.SetCache([&] { return reading; });
  EXPECT_EQ(Value(metrics_, "twi_data_cache_entries"), 3);
  EXPECT_EQ(Value(metrics_, R"(twi_data_cache_invalidations_total{source="change"})"), 4);
  EXPECT_EQ(Value(metrics_, R"(twi_data_cache_invalidations_total{source="hand"})"), 5);
  EXPECT_EQ(Value(metrics_, "twi_data_cache_lag_seconds"), -1) << "no changes are told";
  EXPECT_EQ(Value(metrics_, R"(twi_data_cache_source{source="none"})"), 1);
  EXPECT_EQ(Value(metrics_, R"(twi_data_cache_source{source="outbox"})"), 0);
  reading.lag = 0.25;
  reading.source = sql::ChangesFrom::kOutbox;
  EXPECT_EQ(Value(metrics_, "twi_data_cache_lag_seconds"), 0.25);
  EXPECT_EQ(Value(metrics_, R"(twi_data_cache_source{source="none"})"), 0);
  EXPECT_EQ(Value(metrics_, R"(twi_data_cache_source{source="outbox"})"), 1);
  const std::string page = metrics_.Page();
  std::set<absl::string_view> told;
  for (const absl::string_view line : absl::StrSplit(page, '\n')) {
    if (!absl::StartsWith(line, "# TYPE")) continue;
    EXPECT_TRUE(told.insert(line).second) << line << " twice";
  }
  metrics_.SetCache(nullptr);
  EXPECT_EQ(Value(metrics_, "twi_data_cache_entries"), -1);
}

TEST_F(MetricsTest, CountsStatementsByModeAndClassOfError) {
  OperationMetrics* operation = metrics_.ForOperation("S/M");
  operation->Ran(RunMode::kBatch, 0.5);
  operation->Ran(RunMode::kBatch, 0.25);
  operation->Ran(RunMode::kSolo, 2);
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_query_seconds_sum{mode="batch",operation="S/M"})"), .75);
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_query_seconds_count{mode="solo",operation="S/M"})"), 1);

  for (const char* sqlstate : {"", "08006", "23505", "40P01", "XX000", "P0001"}) {
    operation->Failed(sqlstate);
  }
  const auto errors = [&](absl::string_view name) {
    return Value(metrics_, absl::StrCat(R"(twi_data_db_query_errors_total{class=")", name,
                                        R"(",operation="S/M"})"));
  };
  EXPECT_EQ(errors("connection"), 2);
  EXPECT_EQ(errors("constraint"), 1);
  EXPECT_EQ(errors("rollback"), 1);
  EXPECT_EQ(errors("other"), 2);
  EXPECT_EQ(errors("data"), -1);
}

TEST_F(MetricsTest, ThePoolIsAskedAtEachScrape) {
  EXPECT_EQ(Value(metrics_, "twi_data_db_pool_max"), -1);
  int scrapes = 0;
  metrics_.SetPool([&] {
    ++scrapes;
    return PoolReading{.idle = 2,
                       .busy = 3,
                       .connecting = 1,
                       .max = 20,
                       .waiters = 7,
                       .opened = 11,
                       .closed_idle = 1,
                       .closed_lifetime = 2,
                       .closed_room = 5,
                       .closed_reset = 6,
                       .closed_broken = 3,
                       .closed_shutdown = 4};
  });
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_pool_connections{state="idle"})"), 2);
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_pool_connections{state="busy"})"), 3);
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_pool_connections{state="connecting"})"), 1);
  EXPECT_EQ(Value(metrics_, "twi_data_db_pool_max"), 20);
  EXPECT_EQ(Value(metrics_, "twi_data_db_pool_waiters"), 7);
  EXPECT_EQ(Value(metrics_, "twi_data_db_pool_connections_opened_total"), 11);
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_pool_connections_closed_total{reason="idle"})"), 1);
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_pool_connections_closed_total{reason="lifetime"})"), 2);
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_pool_connections_closed_total{reason="room"})"), 5);
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_pool_connections_closed_total{reason="reset"})"), 6);
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_pool_connections_closed_total{reason="broken"})"), 3);
  EXPECT_EQ(Value(metrics_, R"(twi_data_db_pool_connections_closed_total{reason="shutdown"})"), 4);
  EXPECT_EQ(scrapes, 12);

  metrics_.SetPool(nullptr);
  EXPECT_EQ(Value(metrics_, "twi_data_db_pool_max"), -1);
  EXPECT_EQ(scrapes, 12);
}

TEST_F(MetricsTest, TellsBuildSchemaAndProcess) {
  EXPECT_EQ(
      Value(metrics_, R"(twi_data_build_info{commit="abcdef",grpc="1.51.1",version="1.2.3"})"), 1);
  metrics_.SetSchemaVersion(42);
  EXPECT_EQ(Value(metrics_, "twi_data_schema_version"), 42);

  EXPECT_GT(Value(metrics_, "process_resident_memory_bytes"), 1 << 20);
  EXPECT_GE(Value(metrics_, "process_virtual_memory_bytes"),
            Value(metrics_, "process_resident_memory_bytes"));
  const double now = static_cast<double>(time(nullptr));
  EXPECT_NEAR(Value(metrics_, "process_start_time_seconds"), now, 600);
  EXPECT_GE(Value(metrics_, "process_max_fds"), 64);

  int fds = 0;
  for (int fd = 0; fd < 1024; ++fd) fds += fcntl(fd, F_GETFD) != -1;
  EXPECT_EQ(Value(metrics_, "process_open_fds"), fds);
  const std::ifstream file("/proc/self/stat");
  EXPECT_EQ(Value(metrics_, "process_open_fds"), fds + 1);

  std::latch end(1);
  std::jthread thread([&] { end.wait(); });
  int threads = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    threads += entry.is_directory();
  }
  EXPECT_GE(threads, 2);
  EXPECT_EQ(Value(metrics_, "process_threads"), threads);
  end.count_down();
}

TEST_F(MetricsTest, CountsFromManyThreads) {
  MethodMetrics* method = metrics_.ForMethod("s.S", "M", MethodType::kUnary);
  constexpr int kCalls = 2000;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int call = 0; call < kCalls; ++call) {
          method->Started();
          // Made by the first to come.
          method->Handled(absl::StatusCode::kUnauthenticated, 0.001);
          if (call % 500 == 0) metrics_.Page();
        }
      });
    }
  }
  EXPECT_EQ(Value(metrics_, R"(grpc_server_handled_total{grpc_code="Unauthenticated",)"
                            R"(grpc_method="M",grpc_service="s.S",grpc_type="unary"})"),
            4 * kCalls);
  EXPECT_EQ(Value(metrics_, R"(grpc_server_in_flight{grpc_method="M",grpc_service="s.S"})"), 0);
}

}  // namespace
}  // namespace twi::server

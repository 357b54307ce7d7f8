#include "server/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"

namespace twi::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// A logger that writes into a pipe, at a time that the test sets.
class LogTest : public testing::Test {
 protected:
  LogTest() {
    // A packet pipe: each read gives what one write wrote.
    EXPECT_EQ(pipe2(pipe_, O_DIRECT | O_NONBLOCK), 0);
    logger_.emplace(pipe_[1], [this] { return now_; });
  }
  ~LogTest() override {
    close(pipe_[0]);
    close(pipe_[1]);
  }

  /// What was written since the last time, by write.
  std::vector<std::string> Writes() {
    std::vector<std::string> writes;
    char buffer[8192];
    for (ssize_t size; (size = read(pipe_[0], buffer, sizeof buffer)) > 0;) {
      writes.emplace_back(buffer, size);
    }
    return writes;
  }

  absl::Time now_ = absl::FromUnixMicros(1767323045123456);
  int pipe_[2];
  std::optional<Logger> logger_;
};

TEST_F(LogTest, ALineIsOneWriteOfJson) {
  logger_->Log(LogLevel::kWarning, "slow query",
               {{"operation", "QuotesService/GetQuote"},
                {"seconds", 0.75},
                {"rows", size_t{3}},
                {"delta", -1},
                {"solo", true}});
  EXPECT_THAT(Writes(),
              ElementsAre("{\"ts\":\"2026-01-02T03:04:05.123456Z\",\"level\":\"warning\","
                          "\"msg\":\"slow query\",\"operation\":\"QuotesService/GetQuote\","
                          "\"seconds\":0.75,\"rows\":3,\"delta\":-1,\"solo\":true}\n"));
}

TEST_F(LogTest, WhateverAValueHoldsTheLineIsJson) {
  const std::string value = absl::StrCat("a\"b\\c\nd\x01", "\xff", std::string(1, '\0'), "ü");
  logger_->Log(LogLevel::kInfo, "message", {{"value", value}, {"number", 0.0 / 0.0}});
  const std::vector<std::string> writes = Writes();
  ASSERT_THAT(writes, SizeIs(1));
  const auto line = nlohmann::json::parse(writes[0]);
  EXPECT_EQ(line["value"],
            absl::StrCat("a\"b\\c\nd\x01", "\xef\xbf\xbd", std::string(1, '\0'), "ü"));
  EXPECT_TRUE(line["number"].is_null());
  EXPECT_EQ(writes[0].find('\n'), writes[0].size() - 1);
}

TEST_F(LogTest, TextIsForPeople) {
  logger_->set_format(LogFormat::kText);
  logger_->Log(LogLevel::kInfo, "listening",
               {{"grpc", "127.0.0.1:50051"}, {"why", "no reason\n"}, {"none", ""}, {"n", 1}});
  EXPECT_THAT(Writes(),
              ElementsAre("2026-01-02T03:04:05.123456Z INFO listening grpc=127.0.0.1:50051 "
                          "why=\"no reason\\n\" none=\"\" n=1\n"));
}

TEST_F(LogTest, AutoIsTextOnATerminalOnly) {
  logger_->set_format(LogFormat::kAuto);
  logger_->Log(LogLevel::kInfo, "message");
  EXPECT_THAT(Writes(), ElementsAre(HasSubstr("{")));

  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(grantpt(terminal), 0);
  ASSERT_EQ(unlockpt(terminal), 0);
  const int screen = open(ptsname(terminal), O_RDWR | O_NOCTTY);
  ASSERT_GE(screen, 0);
  Logger(screen, [this] { return now_; }).Log(LogLevel::kInfo, "message");
  char buffer[256];
  const ssize_t size = read(terminal, buffer, sizeof buffer);
  ASSERT_GT(size, 0);
  EXPECT_EQ(absl::string_view(buffer, size), "2026-01-02T03:04:05.123456Z INFO message\r\n");
  close(screen);
  close(terminal);
}

TEST_F(LogTest, TheLevelDecidesAndMayChange) {
  logger_->Log(LogLevel::kDebug, "debug");
  EXPECT_FALSE(logger_->enabled(LogLevel::kDebug));
  EXPECT_THAT(Writes(), IsEmpty());

  logger_->set_level(LogLevel::kDebug);
  logger_->Log(LogLevel::kDebug, "debug");
  EXPECT_THAT(Writes(), SizeIs(1));

  logger_->set_level(LogLevel::kError);
  logger_->Log(LogLevel::kWarning, "warning");
  logger_->Log(LogLevel::kError, "error");
  EXPECT_THAT(Writes(), ElementsAre(HasSubstr("\"msg\":\"error\"")));
}

TEST_F(LogTest, RepeatsAreLimitedAndCounted) {
  for (int i = 0; i < 15; ++i) logger_->Log(LogLevel::kError, "start");
  EXPECT_THAT(Writes(), SizeIs(15));

  logger_->set_repeats_per_second(10);
  now_ = absl::FromUnixSeconds(1767323045);
  for (int i = 0; i < 25; ++i) logger_->Log(LogLevel::kError, "flood", {{"i", i}});
  logger_->Log(LogLevel::kError, "other");
  EXPECT_THAT(Writes(), SizeIs(11));

  now_ += absl::Seconds(1);
  logger_->Log(LogLevel::kError, "flood");
  const std::vector<std::string> writes = Writes();
  ASSERT_THAT(writes, SizeIs(2));
  const auto dropped = nlohmann::json::parse(writes[0]);
  EXPECT_EQ(dropped["msg"], "repeats dropped");
  EXPECT_EQ(dropped["level"], "error");
  EXPECT_EQ(dropped["repeated"], "flood");
  EXPECT_EQ(dropped["dropped"], 15);
  EXPECT_THAT(writes[1], HasSubstr("\"msg\":\"flood\""));

  // Told once.
  now_ += absl::Seconds(1);
  logger_->Log(LogLevel::kError, "flood");
  EXPECT_THAT(Writes(), SizeIs(1));
}

TEST_F(LogTest, FlushTellsWhatWasDropped) {
  logger_->set_repeats_per_second(10);
  for (int i = 0; i < 11; ++i) logger_->Log(LogLevel::kInfo, "flood");
  EXPECT_THAT(Writes(), SizeIs(10));
  logger_->Flush();
  EXPECT_THAT(Writes(), ElementsAre(HasSubstr("\"dropped\":1}")));
  logger_->Flush();
  EXPECT_THAT(Writes(), IsEmpty());
}

TEST_F(LogTest, DebugLinesAreNotLimited) {
  logger_->set_level(LogLevel::kDebug);
  logger_->set_repeats_per_second(10);
  for (int i = 0; i < 15; ++i) logger_->Log(LogLevel::kDebug, "call");
  EXPECT_THAT(Writes(), SizeIs(15));
}

TEST_F(LogTest, LinesOfManyThreadsDoNotMix) {
  int pipe[2];
  ASSERT_EQ(pipe2(pipe, 0), 0);
  Logger logger(pipe[1]);
  // Longer than what a pipe takes at once.
  const std::string filler(10000, 'x');
  std::string all;
  {
    std::jthread reader([&] {
      char buffer[4096];
      for (ssize_t size; (size = read(pipe[0], buffer, sizeof buffer)) > 0;) {
        all.append(buffer, size);
      }
    });
    {
      std::vector<std::jthread> writers;
      for (int writer = 0; writer < 4; ++writer) {
        writers.emplace_back([&, writer] {
          for (int i = 0; i < 10; ++i) {
            logger.Log(LogLevel::kInfo, absl::StrCat("writer ", writer), {{"filler", filler}});
          }
        });
      }
    }
    close(pipe[1]);
  }
  close(pipe[0]);
  const std::vector<std::string> lines = absl::StrSplit(all, '\n', absl::SkipEmpty());
  EXPECT_THAT(lines, SizeIs(40));
  for (const std::string& line : lines) {
    EXPECT_EQ(nlohmann::json::parse(line)["filler"], filler);
  }
}

TEST_F(LogTest, WhatIsNoFloodIsNotDropped) {
  logger_->set_repeats_per_second(2);
  for (int i = 0; i < 5; ++i) logger_->LogEach(LogLevel::kInfo, "call", {{"i", i}});
  for (int i = 0; i < 5; ++i) logger_->Log(LogLevel::kInfo, "call");
  EXPECT_THAT(Writes(), SizeIs(7));
  logger_->set_level(LogLevel::kWarning);
  logger_->LogEach(LogLevel::kInfo, "call", {});
  EXPECT_THAT(Writes(), IsEmpty());
}

}  // namespace
}  // namespace twi::server

#pragma once

#include <array>
#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace twi::server {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// What people call them, in their order.
inline constexpr std::array<absl::string_view, 4> kLevelNames = {"debug", "info", "warning",
                                                                 "error"};

/// The level of that name; nothing when there is none.
std::optional<LogLevel> LevelOf(absl::string_view name);

enum class LogFormat {
  kAuto,  ///< Text when the output is a terminal, JSON else.
  kJson,
  kText,
};

/// A named value of a log line. Texts are views: they live as long as the call that logs them.
struct LogField {
  LogField(std::string_view field, std::string_view text) : name(field), value(text) {}
  LogField(std::string_view field, const char* text) : name(field), value(std::string_view(text)) {}
  LogField(std::string_view field, const std::string& text)
      : name(field), value(std::string_view(text)) {}
  template <typename Number>
  requires std::is_arithmetic_v<Number> LogField(std::string_view field, Number number)
      : name(field) {
    if constexpr (std::same_as<Number, bool>) {
      value = number;
    } else if constexpr (std::integral<Number>) {
      value = static_cast<int64_t>(number);
    } else {
      value = static_cast<double>(number);
    }
  }

  std::string_view name;
  std::variant<std::string_view, int64_t, double, bool> value;
};

/// Writes log lines to a file descriptor: `ts` (RFC 3339, UTC, microseconds), `level`, `msg`, then
/// the fields in the order given.
///
/// Messages are constant sentences; what varies goes into fields. So a message that comes more
/// often than `repeats_per_second` is a flood: the rest of that second is dropped, and a line
/// `repeats dropped` says how many when the next second's first line is written. Debug lines are
/// never dropped, nor anything before a limit is set: at the start every line counts.
///
/// Thread-safe. A line is one write(2) and never mixes with another.
class Logger {
 public:
  explicit Logger(int fd, std::function<absl::Time()> now = absl::Now);

  void set_level(LogLevel level) { level_ = level; }
  void set_format(LogFormat format);
  void set_repeats_per_second(int limit) { repeats_per_second_ = limit; }
  /// Whether lines of `level` are written: for callers whose fields cost something to make.
  bool enabled(LogLevel level) const { return level >= level_; }

  void Log(LogLevel level, std::string_view message, absl::Span<const LogField> fields = {});

  /// The same of what is no flood however often it comes: none is dropped.
  void LogEach(LogLevel level, std::string_view message, absl::Span<const LogField> fields);

  /// Writes what is known of dropped lines: before the process ends.
  void Flush();

 private:
  struct Repeats {
    int count = 0;
    int dropped = 0;
  };

  /// Whether the limit lets the message pass.
  bool Admit(LogLevel level, std::string_view message, absl::Time now);
  void WriteDropped(absl::Time now);
  void Write(absl::Time now, LogLevel level, std::string_view message,
             absl::Span<const LogField> fields);

  const int fd_;
  const std::function<absl::Time()> now_;
  std::atomic<LogLevel> level_ = LogLevel::kInfo;
  std::atomic<bool> json_;
  std::atomic<int> repeats_per_second_ = std::numeric_limits<int>::max();

  std::mutex mutex_;
  /// The second, since 1970, that `repeats_` counts.
  int64_t second_ = 0;
  absl::flat_hash_map<std::pair<LogLevel, std::string>, Repeats> repeats_;
};

/// The process's logger, on stderr.
Logger& ProcessLog();

/// Logs on the process's logger: `Log(LogLevel::kInfo, "listening", {{"grpc", address}})`.
inline void Log(LogLevel level, std::string_view message, absl::Span<const LogField> fields = {}) {
  ProcessLog().Log(level, message, fields);
}

}  // namespace twi::server

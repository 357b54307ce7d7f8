#include "server/log.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "sql/text.h"

namespace twi::server {
namespace {

using Value = decltype(LogField::value);

/// Bytes that are not UTF-8 become U+FFFD: a line is valid JSON whatever a caller sent.
std::string Json(const Value& value) {
  return std::visit(
      [](auto plain) {
        return nlohmann::json(plain).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
      },
      value);
}

/// As JSON, without the quotes where a reader can tell the value from its neighbours.
std::string Text(const Value& value) {
  const auto* text = std::get_if<std::string_view>(&value);
  if (text == nullptr || text->empty()) return Json(value);
  for (char c : *text) {
    if (!absl::ascii_isgraph(c) || c == '"' || c == '=') return Json(value);
  }
  return std::string(*text);
}

std::string Line(bool json, absl::Time now, LogLevel level, std::string_view message,
                 absl::Span<const LogField> fields) {
  const std::string ts = absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", now, absl::UTCTimeZone());
  const absl::string_view name = kLevelNames[static_cast<size_t>(level)];
  if (!json) {
    std::string line = absl::StrCat(ts, " ", absl::AsciiStrToUpper(name), " ", ToAbsl(message));
    for (const LogField& field : fields) {
      absl::StrAppend(&line, " ", ToAbsl(field.name), "=", Text(field.value));
    }
    return line + "\n";
  }
  std::string line =
      absl::StrCat("{\"ts\":\"", ts, "\",\"level\":\"", name, "\",\"msg\":", Json(message));
  for (const LogField& field : fields) {
    absl::StrAppend(&line, ",", Json(field.name), ":", Json(field.value));
  }
  return line + "}\n";
}

}  // namespace

std::optional<LogLevel> LevelOf(absl::string_view name) {
  const auto found = std::ranges::find(kLevelNames, name);
  if (found == kLevelNames.end()) return std::nullopt;
  return static_cast<LogLevel>(found - kLevelNames.begin());
}

Logger::Logger(int fd, std::function<absl::Time()> now) : fd_(fd), now_(std::move(now)) {
  set_format(LogFormat::kAuto);
}

void Logger::set_format(LogFormat format) {
  json_ = format == LogFormat::kJson || (format == LogFormat::kAuto && isatty(fd_) == 0);
}

void Logger::Log(LogLevel level, std::string_view message, absl::Span<const LogField> fields) {
  if (!enabled(level)) return;
  std::lock_guard lock(mutex_);
  const absl::Time now = now_();
  if (Admit(level, message, now)) Write(now, level, message, fields);
}

void Logger::LogEach(LogLevel level, std::string_view message, absl::Span<const LogField> fields) {
  if (!enabled(level)) return;
  std::lock_guard lock(mutex_);
  Write(now_(), level, message, fields);
}

void Logger::Flush() {
  std::lock_guard lock(mutex_);
  WriteDropped(now_());
}

bool Logger::Admit(LogLevel level, std::string_view message, absl::Time now) {
  if (const int64_t second = absl::ToUnixSeconds(now); second != second_) {
    WriteDropped(now);
    second_ = second;
  }
  if (level == LogLevel::kDebug) return true;
  Repeats& repeats = repeats_[{level, std::string(message)}];
  if (++repeats.count <= repeats_per_second_) return true;
  ++repeats.dropped;
  return false;
}

void Logger::WriteDropped(absl::Time now) {
  for (const auto& [line, repeats] : repeats_) {
    if (repeats.dropped == 0) continue;
    Write(now, line.first, "repeats dropped",
          {{"repeated", line.second}, {"dropped", repeats.dropped}});
  }
  repeats_.clear();
}

void Logger::Write(absl::Time now, LogLevel level, std::string_view message,
                   absl::Span<const LogField> fields) {
  const std::string line = Line(json_, now, level, message, fields);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t written = write(fd_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    // There is no better place to say that the log cannot be written.
    if (written < 0) return;
    rest.remove_prefix(written);
  }
}

Logger& ProcessLog() {
  // Never destroyed: threads may log while the process ends.
  static Logger& logger = *new Logger(STDERR_FILENO);
  return logger;
}

}  // namespace twi::server

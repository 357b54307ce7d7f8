#include "server/log_level_file.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/log.h"
#include "sql/text.h"

namespace twi::server {

absl::StatusOr<std::unique_ptr<LogLevelFile>> LogLevelFile::Open(std::string path) {
  std::unique_ptr<LogLevelFile> file(new LogLevelFile(std::move(path)));
  if (absl::Status status = file->Load(); !status.ok()) return status;
  return file;
}

absl::Status LogLevelFile::Load() {
  if (!file_.text()) return absl::InvalidArgumentError(file_.path() + " cannot be read");
  const std::optional<LogLevel> level = LevelOf(absl::StripAsciiWhitespace(*file_.text()));
  if (!level) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_.path(), " does not hold one of ", absl::StrJoin(kLevelNames, ", ")));
  }
  ProcessLog().set_level(*level);
  return absl::OkStatus();
}

void LogLevelFile::Look() {
  if (!file_.Look()) return;
  const absl::Status status = Load();
  if (status.ok()) {
    Log(LogLevel::kInfo, "the log level's file was read again");
  } else {
    Log(LogLevel::kError, "the log level's file was not taken over",
        {{"error", ToStd(status.message())}});
  }
}

}  // namespace twi::server

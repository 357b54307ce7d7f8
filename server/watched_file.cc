#include "server/watched_file.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/file.h"
#include "server/log.h"
#include "sql/text.h"

namespace twi::server {

WatchedFile::WatchedFile(std::string path, Take take)
    : path_(std::move(path)), take_(std::move(take)), text_(ReadFile(path_)) {}

absl::StatusOr<std::unique_ptr<WatchedFile>> WatchedFile::Open(std::string path, Take take) {
  std::unique_ptr<WatchedFile> file(new WatchedFile(std::move(path), std::move(take)));
  if (absl::Status status = file->Load(); !status.ok()) return status;
  return file;
}

absl::Status WatchedFile::Load() const {
  if (!text_) return absl::InvalidArgumentError(path_ + " cannot be read");
  absl::Status status = take_(*text_);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(path_, ": ", status.message()));
}

void WatchedFile::Look() {
  std::optional<std::string> text = ReadFile(path_);
  if (text == text_) return;
  text_ = std::move(text);
  const absl::Status status = Load();
  if (status.ok()) {
    Log(LogLevel::kInfo, "a file was read again", {{"file", path_}});
  } else {
    Log(LogLevel::kError, "a file was not taken over", {{"error", ToStd(status.message())}});
  }
}

}  // namespace twi::server

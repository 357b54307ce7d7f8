#include "server/access_file.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/file.h"
#include "server/log.h"
#include "sql/text.h"

namespace twi::server {

absl::StatusOr<std::unique_ptr<AccessFile>> AccessFile::Open(
    std::string path, std::vector<const google::protobuf::ServiceDescriptor*> services) {
  std::unique_ptr<AccessFile> file(new AccessFile(std::move(path), std::move(services)));
  file->text_ = ReadFile(file->path_);
  if (absl::Status status = file->Load(file->text_); !status.ok()) return status;
  return file;
}

absl::Status AccessFile::Load(const std::optional<std::string>& text) {
  if (!text) return absl::InvalidArgumentError(absl::StrCat(path_, " cannot be read"));
  absl::Status status = access_.Load(*text);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(path_, ": ", status.message()));
}

void AccessFile::Look() {
  std::optional<std::string> text = ReadFile(path_);
  if (text == text_) return;
  text_ = std::move(text);
  const absl::Status status = Load(text_);
  if (status.ok()) {
    Log(LogLevel::kInfo, "the access file was read again");
  } else {
    Log(LogLevel::kError, "the access file was not taken over",
        {{"error", ToStd(status.message())}});
  }
}

}  // namespace twi::server

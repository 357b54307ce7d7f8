#include "server/access_file.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/log.h"
#include "sql/text.h"

namespace twi::server {

absl::StatusOr<std::unique_ptr<AccessFile>> AccessFile::Open(
    std::string path, std::vector<const google::protobuf::ServiceDescriptor*> services) {
  std::unique_ptr<AccessFile> file(new AccessFile(std::move(path), std::move(services)));
  if (absl::Status status = file->Load(); !status.ok()) return status;
  return file;
}

absl::Status AccessFile::Load() {
  if (!file_.text()) return absl::InvalidArgumentError(file_.path() + " cannot be read");
  absl::Status status = access_.Load(*file_.text());
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat(file_.path(), ": ", status.message()));
}

void AccessFile::Look() {
  if (!file_.Look()) return;
  const absl::Status status = Load();
  if (status.ok()) {
    Log(LogLevel::kInfo, "the access file was read again");
  } else {
    Log(LogLevel::kError, "the access file was not taken over",
        {{"error", ToStd(status.message())}});
  }
}

}  // namespace twi::server

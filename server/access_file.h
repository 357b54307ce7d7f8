#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/descriptor.h"
#include "server/access.h"
#include "server/file.h"

namespace twi::server {

/// The access that a file says, as long as the file says it.
class AccessFile {
 public:
  /// INVALID_ARGUMENT when the file cannot be read or has mistakes.
  static absl::StatusOr<std::unique_ptr<AccessFile>> Open(
      std::string path, std::vector<const google::protobuf::ServiceDescriptor*> services);

  Access& access() { return access_; }

  /// Looks whether the file says something new. What cannot be read or has mistakes is told of in
  /// the log, once, and changes nothing. One thread.
  void Look();

 private:
  AccessFile(std::string path, std::vector<const google::protobuf::ServiceDescriptor*> services)
      : file_(std::move(path)), access_(std::move(services)) {}

  absl::Status Load();

  WatchedFile file_;
  Access access_;
};

}  // namespace twi::server

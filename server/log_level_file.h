#pragma once

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "server/file.h"

namespace twi::server {

/// The level of the process's log that a file says, as long as the file says it.
class LogLevelFile {
 public:
  /// INVALID_ARGUMENT when the file cannot be read or holds no level's name.
  static absl::StatusOr<std::unique_ptr<LogLevelFile>> Open(std::string path);

  /// Looks whether the file says something new. What is no level is told of in the log, once, and
  /// changes nothing. One thread.
  void Look();

 private:
  explicit LogLevelFile(std::string path) : file_(std::move(path)) {}

  absl::Status Load();

  WatchedFile file_;
};

}  // namespace twi::server

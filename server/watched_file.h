#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace twi::server {

/// A file whose text is in force for as long as the file says it.
class WatchedFile {
 public:
  /// Takes a text over. INVALID_ARGUMENT, and nothing has changed, when it has mistakes.
  using Take = std::function<absl::Status(const std::string& text)>;

  /// INVALID_ARGUMENT when the file cannot be read or has mistakes.
  static absl::StatusOr<std::unique_ptr<WatchedFile>> Open(std::string path, Take take);

  /// Looks whether the file says something new. What cannot be read or has mistakes is told of in
  /// the log, once, and changes nothing. One thread.
  void Look();

 private:
  WatchedFile(std::string path, Take take);

  absl::Status Load() const;

  const std::string path_;
  const Take take_;
  /// What it said when it was looked at last; nothing when it could not be read.
  std::optional<std::string> text_;
};

}  // namespace twi::server

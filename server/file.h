#pragma once

#include <optional>
#include <string>
#include <utility>

namespace twi::server {

/// What the file holds; nothing when it cannot be read.
std::optional<std::string> ReadFile(const std::string& path);

/// A file that may say something else later.
class WatchedFile {
 public:
  explicit WatchedFile(std::string path) : path_(std::move(path)), text_(ReadFile(path_)) {}

  const std::string& path() const { return path_; }
  /// What it held when it was looked at last; nothing when it could not be read.
  const std::optional<std::string>& text() const { return text_; }
  /// Looks again: whether it holds something else.
  bool Look() {
    std::optional<std::string> text = ReadFile(path_);
    text.swap(text_);
    return text != text_;
  }

 private:
  const std::string path_;
  std::optional<std::string> text_;
};

}  // namespace twi::server

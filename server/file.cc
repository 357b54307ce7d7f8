#include "server/file.h"

#include <fstream>
#include <sstream>

namespace twi::server {

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  // What is empty has nothing to copy, which counts as a failure.
  if (!in.is_open() || (in.peek() != EOF && !(text << in.rdbuf())) || in.bad()) return std::nullopt;
  return text.str();
}

}  // namespace twi::server

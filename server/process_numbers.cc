#include "server/process_numbers.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace twi::server {
namespace {

/// Seconds since 1970 at which the machine started: the line `btime N`.
double BootTime() {
  std::ifstream in("/proc/stat");
  std::string key;
  double seconds = 0;
  while (in >> key) {
    if (key == "btime") {
      in >> seconds;
      break;
    }
    std::getline(in, key);
  }
  return seconds;
}

int64_t OpenFds() {
  std::error_code error;
  const std::filesystem::directory_iterator entries("/proc/self/fd", error);
  // One of them is the directory itself, open to be read.
  return error ? 0 : std::distance(begin(entries), end(entries)) - 1;
}

}  // namespace

std::optional<ProcessNumbers> ReadProcess() {
  std::string line;
  if (!std::getline(std::ifstream("/proc/self/stat"), line)) return std::nullopt;
  // The second field is the program's name in parentheses and may hold anything; the third follows.
  std::istringstream in(line.substr(line.rfind(')') + 1));
  std::string skipped;
  const auto skip = [&](int fields) {
    for (int i = 0; i < fields; ++i) in >> skipped;
  };
  double user = 0, system = 0, start = 0;
  int64_t threads = 0, virtual_bytes = 0, pages = 0;
  skip(11);
  in >> user >> system;  // fields 14 and 15
  skip(4);
  in >> threads;  // 20
  skip(1);
  in >> start >> virtual_bytes >> pages;  // 22 to 24
  if (!in) return std::nullopt;

  const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  static const double kBootTime = BootTime();
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  return ProcessNumbers{.cpu_seconds = (user + system) / ticks,
                        .start_time = kBootTime + start / ticks,
                        .resident_bytes = pages * sysconf(_SC_PAGESIZE),
                        .virtual_bytes = virtual_bytes,
                        .threads = threads,
                        .open_fds = OpenFds(),
                        .max_fds = static_cast<double>(files.rlim_cur)};
}

}  // namespace twi::server

#pragma once

#include <cstdint>
#include <optional>

namespace twi::server {

/// What this process uses, as the kernel tells it.
struct ProcessNumbers {
  double cpu_seconds = 0;  ///< User and system, all threads.
  double start_time = 0;   ///< Seconds since 1970.
  int64_t resident_bytes = 0;
  int64_t virtual_bytes = 0;
  int64_t threads = 0;
  int64_t open_fds = 0;
  double max_fds = 0;  ///< The soft limit.
};

/// Reads /proc/self; nothing when there is none.
std::optional<ProcessNumbers> ReadProcess();

}  // namespace twi::server

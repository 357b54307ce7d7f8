#include "sql/changes.h"

#include <ctime>

namespace twi::sql {

BootClock::time_point BootClock::now() {
  timespec time{};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

const char* NameOf(ChangesFrom from) {
  switch (from) {
    case ChangesFrom::kStream:
      return "stream";
    case ChangesFrom::kOutbox:
      return "outbox";
    default:
      return "none";
  }
}

}  // namespace twi::sql

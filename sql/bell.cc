#include "sql/bell.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "sql/changes.h"

namespace twi::sql {

Bell::Bell() : file_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Bell::~Bell() { close(file_); }

void Bell::Ring() {
  // One wake-up until it is heeded.
  if (asked_.exchange(true) && !stopping_) return;
  const uint64_t one = 1;
  [[maybe_unused]] const auto size = write(file_, &one, sizeof(one));
}

void Bell::Stop() {
  stopping_ = true;
  Ring();
}

void Bell::Hush() {
  uint64_t count = 0;
  [[maybe_unused]] const auto size = read(file_, &count, sizeof(count));
}

void Bell::Pause(std::chrono::milliseconds pause) {
  const auto end = BootClock::now() + pause;
  while (!stopping_ && BootClock::now() < end) {
    pollfd file{file_, POLLIN, 0};
    poll(&file, 1, static_cast<int>(pause.count()));
    Hush();
  }
}

}  // namespace twi::sql

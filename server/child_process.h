#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace twi::server {

/// A user of the machine that a child process may run as.
struct Account {
  std::string name;
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;

  /// NOT_FOUND when the machine has no such user.
  static absl::StatusOr<Account> Find(const std::string& name);
};

/// What a child process is to run.
struct Command {
  std::vector<std::string> arguments;  ///< The first is the program's path.
  std::string directory;               ///< Where it runs.
  std::optional<Account> account;      ///< Whom it runs as, when not as ourselves.
  std::string input;                   ///< What it reads, at most 4096 bytes.
  int output = -1;                     ///< The open file it writes to, also its errors.
  int signal_at_our_end = 0;           ///< What it gets when the thread that started it ends.
};

/// A process of ours that ends with us: however this process ends, the kernel sends the child
/// `signal_at_our_end`. It has a session of its own, so that a terminal's Ctrl-C reaches only us,
/// and inherits neither open files nor signal handlers.
class ChildProcess {
 public:
  /// Call it from a thread that lives as long as the process, such as the main thread: the kernel's
  /// promise is bound to it. FAILED_PRECONDITION says which step on the way to the program failed.
  static absl::StatusOr<ChildProcess> Start(const Command& command);

  pid_t pid() const { return pid_; }

  /// Whether it has not ended. For any thread.
  bool Running() const;

  void Signal(int signal) const;

  /// Waits until it has ended, at most `timeout`, and returns its exit code, or 128 + the signal
  /// that ended it; nothing when it still runs. To be called no more once it has returned a code.
  std::optional<int> Wait(absl::Duration timeout);

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}

  pid_t pid_;
};

}  // namespace twi::server

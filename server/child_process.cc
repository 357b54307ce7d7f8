#include "server/child_process.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace twi::server {
namespace {

/// What a child does before it becomes the program, for its parent to know where it failed.
enum class Step { kAccount, kDirectory, kProgram };

struct Failure {
  Step step;
  int error;
};

std::string Describe(const Failure& failure, const Command& command) {
  const std::string who = command.account ? " as user " + command.account->name : "";
  std::string why = absl::StrCat(": ", std::strerror(failure.error));
  switch (failure.step) {
    case Step::kAccount:
      return absl::StrCat("cannot become user ", command.account->name, why);
    case Step::kDirectory:
      return absl::StrCat("cannot enter ", command.directory, who, why);
    case Step::kProgram:
      return absl::StrCat("cannot run ", command.arguments[0], who, why);
  }
  return why;
}

/// The child's way to the program. Only calls that are safe after a fork of a process with threads.
[[noreturn]] void Become(const Command& command, char** arguments, int input, int report,
                         pid_t parent) {
  const auto fail = [report](Step step) {
    const Failure failure = {step, errno};
    (void)!write(report, &failure, sizeof(failure));
    _exit(127);
  };
  setsid();
  umask(077);
  // Ignored signals would stay ignored in the program.
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (const auto& account = command.account) {
    if (setgroups(account->groups.size(), account->groups.data()) != 0 ||
        setgid(account->group) != 0 || setuid(account->user) != 0) {
      fail(Step::kAccount);
    }
  }
  // After setuid, which takes it back.
  prctl(PR_SET_PDEATHSIG, command.signal_at_our_end);
  // The parent may have ended before that.
  if (getppid() != parent) _exit(127);
  if (chdir(command.directory.c_str()) != 0) fail(Step::kDirectory);
  dup2(input, STDIN_FILENO);
  dup2(command.output, STDOUT_FILENO);
  dup2(command.output, STDERR_FILENO);
  close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  execv(arguments[0], arguments);
  fail(Step::kProgram);
  _exit(127);
}

}  // namespace

absl::StatusOr<Account> Account::Find(const std::string& name) {
  const passwd* entry = getpwnam(name.c_str());
  if (entry == nullptr) return absl::NotFoundError(absl::StrCat("there is no user ", name));
  Account account = {.name = name,
                     .user = entry->pw_uid,
                     .group = entry->pw_gid,
                     .groups = std::vector<gid_t>(64)};
  int count = static_cast<int>(account.groups.size());
  if (getgrouplist(name.c_str(), account.group, account.groups.data(), &count) < 0) count = 0;
  account.groups.resize(count);
  return account;
}

absl::StatusOr<ChildProcess> ChildProcess::Start(const Command& command) {
  std::vector<char*> arguments;
  for (const std::string& argument : command.arguments) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);

  int input[2];
  int report[2];
  if (pipe2(input, O_CLOEXEC) != 0) return absl::InternalError("cannot open a pipe");
  if (pipe2(report, O_CLOEXEC) != 0) {
    close(input[0]);
    close(input[1]);
    return absl::InternalError("cannot open a pipe");
  }
  // Fits into the pipe: nobody has to read it yet.
  (void)!write(input[1], command.input.data(), command.input.size());
  close(input[1]);

  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) Become(command, arguments.data(), input[0], report[1], parent);
  const int fork_error = errno;
  close(input[0]);
  close(report[1]);
  // Ends without a word when the program begins.
  Failure failure = {Step::kProgram, fork_error};
  const bool failed = pid < 0 || read(report[0], &failure, sizeof(failure)) == sizeof(failure);
  close(report[0]);
  if (!failed) return ChildProcess(pid);
  if (pid > 0) waitpid(pid, nullptr, 0);
  return absl::FailedPreconditionError(Describe(failure, command));
}

bool ChildProcess::Running() const {
  siginfo_t info = {};
  // Leaves the exit code for Wait.
  return waitid(P_PID, pid_, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

void ChildProcess::Signal(int signal) const { kill(pid_, signal); }

std::optional<int> ChildProcess::Wait(absl::Duration timeout) {
  const absl::Time end = absl::Now() + timeout;
  while (Running()) {
    if (absl::Now() >= end) return std::nullopt;
    absl::SleepFor(absl::Milliseconds(5));
  }
  int status = 0;
  waitpid(pid_, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace twi::server

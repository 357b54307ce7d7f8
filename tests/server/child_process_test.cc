#include "server/child_process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"

namespace twi::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ChildProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    output_ = open((directory_ + "/output").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(output_, 0);
  }
  void TearDown() override {
    close(output_);
    fs::remove_all(directory_);
  }

  Command Shell(const std::string& script) const {
    return {.arguments = {"/bin/sh", "-c", script},
            .directory = directory_,
            .account = std::nullopt,
            .input = "some input",
            .output = output_,
            .signal_at_our_end = SIGKILL};
  }

  std::string Output() const {
    std::stringstream text;
    text << std::ifstream(directory_ + "/output").rdbuf();
    return text.str();
  }

  std::string directory_ = "/tmp/child_process.XXXXXX";
  int output_ = -1;
};

TEST_F(ChildProcessTest, RunsWithInputAndOutputInItsDirectory) {
  auto child = ChildProcess::Start(Shell("cat; echo; pwd; echo oops >&2; exit 7"));
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->Wait(absl::Minutes(1)), 7);
  EXPECT_EQ(Output(), "some input\n" + directory_ + "\noops\n");
}

TEST_F(ChildProcessTest, TellsOfASignal) {
  auto child = ChildProcess::Start(Shell("sleep 60"));
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_TRUE(child->Running());
  EXPECT_EQ(child->Wait(absl::Milliseconds(20)), std::nullopt);
  child->Signal(SIGTERM);
  EXPECT_EQ(child->Wait(absl::Minutes(1)), 128 + SIGTERM);
}

TEST_F(ChildProcessTest, InheritsNoFilesAndNoSignals) {
  const int inherited = open("/dev/null", O_RDONLY);
  ASSERT_GT(inherited, 2);
  signal(SIGTERM, SIG_IGN);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigprocmask(SIG_BLOCK, &blocked, nullptr);
  auto child = ChildProcess::Start(Shell("test ! -e /proc/self/fd/" + std::to_string(inherited) +
                                         " && kill -TERM $$ && exit 1"));
  sigprocmask(SIG_UNBLOCK, &blocked, nullptr);
  signal(SIGTERM, SIG_DFL);
  close(inherited);
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->Wait(absl::Minutes(1)), 128 + SIGTERM);
}

TEST_F(ChildProcessTest, SaysWhatFailed) {
  Command missing = Shell("");
  missing.arguments[0] = "/nonexistent/program";
  EXPECT_THAT(std::string(ChildProcess::Start(missing).status().message()),
              HasSubstr("cannot run /nonexistent/program: No such file"));
  Command nowhere = Shell("");
  nowhere.directory = "/nonexistent";
  EXPECT_THAT(std::string(ChildProcess::Start(nowhere).status().message()),
              HasSubstr("cannot enter /nonexistent: No such file"));
  EXPECT_EQ(Account::Find("no such user").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ChildProcessTest, RunsAsAnotherUser) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may become another user";
  fs::permissions(directory_, fs::perms::all);
  Command command = Shell("id -un");
  command.account = Account::Find("nobody").value();
  auto child = ChildProcess::Start(command);
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_EQ(child->Wait(absl::Minutes(1)), 0);
  EXPECT_EQ(Output(), "nobody\n");
}

TEST_F(ChildProcessTest, EndsWithUs) {
  int pids[2];
  ASSERT_EQ(pipe(pids), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    auto child = ChildProcess::Start(Shell("exec sleep 60"));
    const pid_t pid = child.ok() ? child->pid() : -1;
    (void)!write(pids[1], &pid, sizeof(pid));
    pause();
  }
  pid_t child = -1;
  ASSERT_EQ(read(pids[0], &child, sizeof(child)), static_cast<ssize_t>(sizeof(child)));
  ASSERT_GT(child, 0);
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  // What reaps orphans here may be slow: one that waits to be reaped has ended, too.
  const auto ended = [child] {
    std::ifstream file("/proc/" + std::to_string(child) + "/stat");
    std::string pid, name, state;
    return !(file >> pid >> name >> state) || state == "Z";
  };
  const absl::Time end = absl::Now() + absl::Seconds(10);
  while (!ended() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
  EXPECT_TRUE(ended());
  close(pids[0]);
  close(pids[1]);
}

}  // namespace
}  // namespace twi::server

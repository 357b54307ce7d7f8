#include "server/embedded_postgres.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <pqxx/pqxx>

#include "absl/time/clock.h"

namespace twi::server {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// The first value that `sql` gives.
std::string Value(const std::string& dsn, const std::string& sql) {
  pqxx::connection connection(dsn);
  pqxx::nontransaction session(connection);
  const pqxx::result result = session.exec(sql);
  return result.empty() ? "" : result[0][0].c_str();
}

std::string MessageOf(const std::string& directory) {
  const auto started = EmbeddedPostgres::Start(directory);
  EXPECT_EQ(started.status().code(), absl::StatusCode::kFailedPrecondition);
  return std::string(started.status().message());
}

bool Eventually(const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + absl::Seconds(20);
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

/// A service in a process of its own, to be killed.
class Service {
 public:
  explicit Service(const std::string& directory) {
    EXPECT_EQ(pipe(dsn_), 0);
    pid_ = fork();
    if (pid_ != 0) return;
    auto postgres = EmbeddedPostgres::Start(directory);
    const std::string line = postgres.ok() ? (*postgres)->dsn() + "\n" : "\n";
    (void)!write(dsn_[1], line.data(), line.size());
    pause();
    _exit(0);
  }
  ~Service() {
    Kill();
    close(dsn_[0]);
    close(dsn_[1]);
  }

  /// Waits until it is ready.
  std::string Dsn() {
    std::string line;
    for (char c; read(dsn_[0], &c, 1) == 1 && c != '\n';) line.push_back(c);
    return line;
  }
  pid_t pid() const { return pid_; }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  int dsn_[2] = {-1, -1};
  pid_t pid_ = 0;
};

class EmbeddedPostgresTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    fs::permissions(root_, fs::perms::owner_all | fs::perms::others_exec);
    directory_ = root_ + "/twi-data";
  }
  void TearDown() override {
    // The database of a service that was killed may still write.
    std::error_code error;
    EXPECT_TRUE(Eventually([&] {
      fs::remove_all(root_, error);
      return !error;
    }));
  }

  std::string root_ = fs::temp_directory_path() / "embedded.XXXXXX";
  std::string directory_;
};

TEST_F(EmbeddedPostgresTest, AFreshDirectoryBecomesADatabase) {
  auto started = EmbeddedPostgres::Start(directory_);
  ASSERT_TRUE(started.ok()) << started.status();
  EmbeddedPostgres& postgres = **started;
  const std::string& dsn = postgres.dsn();
  EXPECT_EQ(dsn, "host=" + directory_ + " port=5432 user=twi dbname=twi");
  EXPECT_TRUE(postgres.Running());
  EXPECT_EQ(Value(dsn, "select current_user || current_database()"), "twitwi");
  EXPECT_EQ(Value(dsn, "show fsync"), "on");
  EXPECT_EQ(Value(dsn, "show wal_level"), "logical");
  EXPECT_EQ(Value(dsn, "show listen_addresses"), "");
  EXPECT_EQ(Value(dsn, "show server_encoding"), "UTF8");
  EXPECT_EQ(Value(dsn, "show timezone"), "UTC");
  EXPECT_EQ(Value(dsn, "select datcollate from pg_database where datname = 'twi'"), "C.UTF-8");
  EXPECT_EQ(fs::status(directory_).permissions(), fs::perms::owner_all);
}

TEST_F(EmbeddedPostgresTest, ARestartKeepsTheData) {
  auto started = EmbeddedPostgres::Start(directory_);
  ASSERT_TRUE(started.ok()) << started.status();
  Value((*started)->dsn(), "create table kept as select 7 as i");
  // A client that stays does not hold up the end.
  pqxx::connection client((*started)->dsn());
  EXPECT_TRUE((*started)->Stop().ok());
  EXPECT_FALSE((*started)->Running());
  EXPECT_FALSE(fs::exists(directory_ + "/data/postmaster.pid"));
  EXPECT_TRUE((*started)->Stop().ok());

  auto again = EmbeddedPostgres::Start(directory_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Value((*again)->dsn(), "select i from kept"), "7");
}

TEST_F(EmbeddedPostgresTest, EndsWithAKilledServiceAndKeepsWhatWasCommitted) {
  Service service(directory_);
  const std::string dsn = service.Dsn();
  ASSERT_THAT(dsn, StartsWith("host="));
  Value(dsn, "create table kept as select i from generate_series(1, 1000) i");
  const std::string postmaster =
      "/proc/" + Value(dsn, "select pg_read_file('postmaster.pid', 0, 9)");
  const std::string place = postmaster.substr(0, postmaster.find('\n')) + "/cwd";
  ASSERT_EQ(fs::read_symlink(place), directory_ + "/data");
  service.Kill();
  std::error_code error;
  EXPECT_TRUE(Eventually([&] { return fs::read_symlink(place, error).empty(); }));

  auto again = EmbeddedPostgres::Start(directory_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Value((*again)->dsn(), "select count(*) from kept"), "1000");
}

TEST_F(EmbeddedPostgresTest, AStartRightAfterAKillWaitsForTheOldDatabase) {
  Service service(directory_);
  const std::string dsn = service.Dsn();
  ASSERT_THAT(dsn, StartsWith("host="));
  Value(dsn, "create table kept as select 7 as i");
  service.Kill();
  auto again = EmbeddedPostgres::Start(directory_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(Value((*again)->dsn(), "select i from kept"), "7");
}

TEST_F(EmbeddedPostgresTest, ANumberThatIsAnotherProcesssNowIsNoObstacle) {
  ASSERT_TRUE(EmbeddedPostgres::Start(directory_).ok());
  Command sleep = {.arguments = {"/bin/sleep", "60"},
                   .directory = "/",
                   .account = std::nullopt,
                   .input = "",
                   .output = STDERR_FILENO,
                   .signal_at_our_end = SIGKILL};
  // One that the database may send signals to.
  if (geteuid() == 0) sleep.account = Account::Find("postgres").value();
  auto other = ChildProcess::Start(sleep);
  ASSERT_TRUE(other.ok()) << other.status();
  std::ofstream(directory_ + "/data/postmaster.pid")
      << other->pid() << "\n"
      << directory_ << "/data\n1700000000\n5432\n\n\n1 1\nready   \n";
  EXPECT_TRUE(EmbeddedPostgres::Start(directory_).ok());
  other->Signal(SIGKILL);
  other->Wait(absl::InfiniteDuration());
}

TEST_F(EmbeddedPostgresTest, AKillWhileTheClusterIsMadeLeavesNothing) {
  const auto making = [&] {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory_, error)) {
      if (fs::exists(entry.path() / "PG_VERSION", error)) return true;
    }
    return false;
  };
  // A busy machine may come too late.
  std::error_code error;
  do {
    fs::remove_all(directory_, error);
    Service service(directory_);
    ASSERT_TRUE(Eventually(making));
    service.Kill();
  } while (fs::exists(directory_ + "/data"));

  auto started = EmbeddedPostgres::Start(directory_);
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(Value((*started)->dsn(), "select 1"), "1");
  // What the killed initdb had begun may still write for a moment; the next start sweeps that away.
  EXPECT_TRUE(Eventually([&] {
    if (started.ok()) started->reset();
    started = EmbeddedPostgres::Start(directory_);
    return started.ok() &&
           std::none_of(fs::directory_iterator(directory_), {}, [](const auto& entry) {
             return entry.path().filename().string().starts_with("data.");
           });
  }));
}

TEST_F(EmbeddedPostgresTest, ASecondServiceIsRefusedAndTheFirstGoesOn) {
  Service service(directory_);
  const std::string dsn = service.Dsn();
  ASSERT_THAT(dsn, StartsWith("host="));
  EXPECT_EQ(MessageOf(directory_),
            "process " + std::to_string(service.pid()) + " already serves " + directory_);
  EXPECT_EQ(Value(dsn, "select 1"), "1");
}

TEST_F(EmbeddedPostgresTest, ADatabaseThatEndsIsNoticed) {
  auto started = EmbeddedPostgres::Start(directory_);
  ASSERT_TRUE(started.ok()) << started.status();
  const int postmaster =
      std::stoi(Value((*started)->dsn(), "select pg_read_file('postmaster.pid', 0, 9)"));
  kill(postmaster, SIGQUIT);
  EXPECT_TRUE(Eventually([&] { return !(*started)->Running(); }));
  EXPECT_TRUE((*started)->Stop().ok());
  EXPECT_TRUE(EmbeddedPostgres::Start(directory_).ok());
}

TEST_F(EmbeddedPostgresTest, ALongDirectoryHasItsSocketElsewhere) {
  const std::string deep = directory_ + "/" + std::string(90, 'x') + "/with space";
  auto started = EmbeddedPostgres::Start(deep);
  ASSERT_TRUE(started.ok()) << started.status();
  const std::string dsn = (*started)->dsn();
  EXPECT_EQ(Value(dsn, "show data_directory"), deep + "/data");
  const std::string socket = dsn.substr(5, dsn.find(' ') - 5);
  EXPECT_EQ(fs::status(socket).permissions(), fs::perms::owner_all);
  EXPECT_TRUE((*started)->Stop().ok());
  EXPECT_FALSE(fs::exists(socket));

  Service service(deep);
  const std::string killed = service.Dsn();
  ASSERT_THAT(killed, StartsWith("host="));
  service.Kill();
  EXPECT_TRUE(EmbeddedPostgres::Start(deep).ok());
  EXPECT_FALSE(fs::exists(killed.substr(5, killed.find(' ') - 5)));
}

TEST_F(EmbeddedPostgresTest, RunsAsAUser) {
  if (geteuid() != 0) GTEST_SKIP() << "the other cases ran as a user";
  const passwd* nobody = getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  fs::create_directory(directory_);
  ASSERT_EQ(chown(directory_.c_str(), nobody->pw_uid, nobody->pw_gid), 0);
  const pid_t child = fork();
  if (child == 0) {
    bool good =
        setgroups(0, nullptr) == 0 && setgid(nobody->pw_gid) == 0 && setuid(nobody->pw_uid) == 0;
    auto started = EmbeddedPostgres::Start(directory_);
    if (!started.ok()) std::cerr << started.status() << std::endl;
    good = good && started.ok() && Value((*started)->dsn(), "select 1") == "1" &&
           (*started)->Stop().ok();
    _exit(good ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(MessageOf(directory_), HasSubstr("belongs to user"));
}

TEST_F(EmbeddedPostgresTest, ADirectoryThatWillNotDoIsNamed) {
  std::ofstream(root_ + "/file") << "x";
  EXPECT_THAT(MessageOf(root_ + "/file/below"), HasSubstr(root_ + "/file/below: Not a directory"));
  EXPECT_THAT(MessageOf(root_), HasSubstr(root_ + " holds something else"));
  EXPECT_TRUE(fs::exists(root_ + "/file"));
}

TEST_F(EmbeddedPostgresTest, ADirectoryOutOfThePostgresUsersReachIsNamed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root runs the database as another user";
  fs::permissions(root_, fs::perms::owner_all);
  EXPECT_EQ(MessageOf(directory_),
            "cannot enter " + directory_ + " as user postgres: Permission denied");
}

TEST_F(EmbeddedPostgresTest, ADatabaseThatDoesNotStartShowsItsLog) {
  ASSERT_TRUE(EmbeddedPostgres::Start(directory_).ok());
  std::ofstream(directory_ + "/data/PG_VERSION") << "9.6\n";
  const std::string message = MessageOf(directory_);
  EXPECT_THAT(message, HasSubstr(directory_ + "/postgres.log"));
  EXPECT_THAT(message, HasSubstr("is not compatible with this version"));
}

TEST_F(EmbeddedPostgresTest, BinariesThatAreNotThereAreNamed) {
  setenv("TWI_DATA_PG_BIN", root_.c_str(), 1);
  const std::string message = MessageOf(directory_);
  unsetenv("TWI_DATA_PG_BIN");
  EXPECT_THAT(message, HasSubstr("TWI_DATA_PG_BIN is " + root_));
}

}  // namespace
}  // namespace twi::server

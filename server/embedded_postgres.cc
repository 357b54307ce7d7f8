#include "server/embedded_postgres.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace twi::server {
namespace {

namespace fs = std::filesystem;

constexpr char kPort[] = "5432";
/// Long enough for the recovery after a crash.
constexpr absl::Duration kStartTimeout = absl::Seconds(60);
/// Longer than a checkpoint of a busy database.
constexpr absl::Duration kStopTimeout = absl::Seconds(30);
constexpr int kLogLinesInErrors = 10;

absl::Status SystemError(const std::string& what) {
  return absl::FailedPreconditionError(absl::StrCat(what, ": ", std::strerror(errno)));
}

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::vector<std::string> ReadLines(const fs::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

/// The folder of initdb and postgres: of the version that made the cluster, when it is installed.
absl::StatusOr<std::string> FindBinaries(const std::string& version) {
  const auto complete = [](const std::string& folder) {
    return access((folder + "/initdb").c_str(), X_OK) == 0 &&
           access((folder + "/postgres").c_str(), X_OK) == 0;
  };
  if (const std::string named = Variable("TWI_DATA_PG_BIN"); !named.empty()) {
    if (complete(named)) return named;
    return absl::FailedPreconditionError(
        absl::StrCat("TWI_DATA_PG_BIN is ", named, ", which lacks initdb or postgres"));
  }
  const std::string debian = "/usr/lib/postgresql";
  const auto folder_of = [&](const std::string& of) {
    return absl::StrCat(debian, "/", of, "/bin");
  };
  if (!version.empty() && complete(folder_of(version))) return folder_of(version);
  const std::vector<std::string> path = absl::StrSplit(Variable("PATH"), ':');
  for (const std::string& folder : path) {
    if (complete(folder)) return folder;
  }
  int newest = 0;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(debian, error)) {
    int number = 0;
    const std::string name = entry.path().filename();
    if (absl::SimpleAtoi(name, &number) && complete(folder_of(name))) {
      newest = std::max(newest, number);
    }
  }
  if (newest > 0) return folder_of(std::to_string(newest));
  return absl::FailedPreconditionError(
      "PostgreSQL's initdb and postgres are not to be found: install postgresql-15, or name their "
      "folder in TWI_DATA_PG_BIN, or give the --dsn of a database");
}

/// Makes `directory` one that only `owner` may enter. What others keep things in is left alone.
absl::Status PrepareDirectory(const fs::path& directory, const std::optional<Account>& account) {
  std::error_code error;
  fs::create_directories(directory, error);
  const bool fresh = !error && fs::is_empty(directory, error);
  struct stat status;
  if (error || stat(directory.c_str(), &status) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot keep a database in ", directory.string(), ": ", error.message()));
  }
  if (!fresh && !fs::exists(directory / "twi-data.lock", error)) {
    return absl::FailedPreconditionError(absl::StrCat(
        directory.string(), " holds something else: the database needs a directory of its own"));
  }
  const uid_t owner = account ? account->user : geteuid();
  if (status.st_uid != owner) {
    if (!account || !fresh) {
      return absl::FailedPreconditionError(
          absl::StrCat(directory.string(), " belongs to user ", status.st_uid, ", not to ", owner));
    }
    if (chown(directory.c_str(), account->user, account->group) != 0) {
      return SystemError("cannot give " + directory.string() + " to " + account->name);
    }
  }
  if (chmod(directory.c_str(), 0700) != 0) return SystemError("cannot close " + directory.string());
  return absl::OkStatus();
}

/// Whether a socket in `directory` has a path that the kernel takes and that needs no quoting.
bool SuitsSocket(const std::string& directory) {
  const bool plain = std::all_of(directory.begin(), directory.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("/._-", std::string(1, c));
  });
  return plain && directory.size() + std::strlen("/.s.PGSQL.5432") < 108;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EmbeddedPostgres>> EmbeddedPostgres::Start(
    const std::string& directory) {
  std::unique_ptr<EmbeddedPostgres> self(new EmbeddedPostgres);
  if (geteuid() == 0) {
    auto account = Account::Find("postgres");
    if (!account.ok()) {
      return absl::FailedPreconditionError(
          "PostgreSQL does not run as root, and there is no user postgres: install postgresql-15");
    }
    self->account_ = *std::move(account);
  }
  if (auto status = PrepareDirectory(directory, self->account_); !status.ok()) return status;
  std::error_code error;
  self->directory_ = fs::canonical(directory, error);
  const fs::path data = fs::path(self->directory_) / "data";

  if (auto status = self->Lock(); !status.ok()) return status;
  const std::vector<std::string> version = ReadLines(data / "PG_VERSION");
  auto binaries = FindBinaries(version.empty() ? "" : version[0]);
  if (!binaries.ok()) return binaries.status();
  self->binaries_ = *std::move(binaries);
  if (auto status = self->AwaitPredecessor(); !status.ok()) return status;
  if (auto status = self->OpenLog(); !status.ok()) return status;
  // Clusters that killed starts left half made. Their initdb's children may write to one for a
  // moment yet, and then it goes at the next start.
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, error)) {
    if (absl::StartsWith(entry.path().filename().string(), "data.")) fs::remove_all(entry, error);
  }
  if (!fs::exists(data, error)) {
    if (auto status = self->CreateCluster(); !status.ok()) return status;
  }
  if (auto status = self->ChooseSocketDirectory(); !status.ok()) return status;
  if (auto status = self->StartPostgres(); !status.ok()) return status;
  return self;
}

EmbeddedPostgres::~EmbeddedPostgres() { (void)Stop(); }

/// Locks the directory for this process; the kernel unlocks it when the process ends.
absl::Status EmbeddedPostgres::Lock() {
  const std::string path = directory_ + "/twi-data.lock";
  lock_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return SystemError("cannot open " + path);
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const std::vector<std::string> lines = ReadLines(path);
    return absl::FailedPreconditionError(
        absl::StrCat("process ", lines.empty() ? "?" : lines[0], " already serves ", directory_));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(lock_, 0) != 0 || write(lock_, pid.data(), pid.size()) < 0) {
    return SystemError("cannot write " + path);
  }
  return absl::OkStatus();
}

/// Waits for the end of a database whose service was killed: it got its signal then.
absl::Status EmbeddedPostgres::AwaitPredecessor() const {
  const std::string path = directory_ + "/data/postmaster.pid";
  std::vector<std::string> lines = ReadLines(path);
  if (lines.empty()) return absl::OkStatus();
  // A database's process stands in its data directory.
  const fs::path process = "/proc/" + lines[0];
  const absl::Time end = absl::Now() + kStopTimeout;
  std::error_code error;
  while (fs::read_symlink(process / "cwd", error) == directory_ + "/data") {
    if (absl::Now() >= end) {
      return absl::FailedPreconditionError(absl::StrCat(
          "process ", lines[0], ", a PostgreSQL that we did not start, serves ", directory_));
    }
    absl::SleepFor(absl::Milliseconds(10));
  }
  if (fs::exists(process, error)) {
    // The number is another process's by now, as happens when a container starts anew. PostgreSQL
    // would refuse to start, unless it is its parent's; what else the file guards stays guarded.
    lines[0] = absl::StrCat(getpid());
    std::ofstream(path) << absl::StrJoin(lines, "\n") << "\n";
  }
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::OpenLog() {
  const std::string path = directory_ + "/postgres.log";
  rename(path.c_str(), (path + ".1").c_str());
  log_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_ < 0 || (account_ && fchown(log_, account_->user, account_->group) != 0)) {
    return SystemError("cannot open " + path);
  }
  return absl::OkStatus();
}

/// Makes the cluster and its database beside their place and moves them there when they are
/// complete, so that a start that was killed leaves nothing that looks like a cluster.
absl::Status EmbeddedPostgres::CreateCluster() const {
  // A name of its own: a killed initdb's children may write to theirs.
  std::string made = directory_ + "/data.XXXXXX";
  if (mkdtemp(made.data()) == nullptr ||
      (account_ && chown(made.c_str(), account_->user, account_->group) != 0)) {
    return SystemError("cannot make " + made);
  }
  // Trust: the directory is closed to everybody whom it could concern. One sync of it all in the
  // end takes a fraction of the time of one for each of the thousand files.
  auto status = Run({binaries_ + "/initdb", "--pgdata=" + made, "--username=twi", "--auth=trust",
                     "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"},
                    "");
  if (!status.ok()) return status;
  status = Run({binaries_ + "/postgres", "--single", "-D", made, "-c", "fsync=off", "-c",
                "exit_on_error=on", "postgres"},
               "create database twi\n");
  if (!status.ok()) return status;
  const int self = open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // The second sync keeps a crash of the machine from undoing the renaming: the next start would
  // take the cluster for one half made.
  const bool done = self >= 0 && syncfs(self) == 0 &&
                    rename(made.c_str(), (directory_ + "/data").c_str()) == 0 && fsync(self) == 0;
  if (!done) status = SystemError("cannot finish " + made);
  if (self >= 0) close(self);
  return status;
}

/// Runs a program of PostgreSQL's to its end.
absl::Status EmbeddedPostgres::Run(std::vector<std::string> arguments, std::string input) const {
  const std::string program = arguments[0];
  auto child = ChildProcess::Start({.arguments = std::move(arguments),
                                    .directory = directory_,
                                    .account = account_,
                                    .input = std::move(input),
                                    .output = log_,
                                    .signal_at_our_end = SIGKILL});
  if (!child.ok()) return child.status();
  if (child->Wait(absl::InfiniteDuration()) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(Failure(program + " failed"));
}

/// The directory itself, or a short one that is removed in the end.
absl::Status EmbeddedPostgres::ChooseSocketDirectory() {
  const std::string note = directory_ + "/socket_directory";
  std::error_code error;
  // Left by a service that was killed.
  for (const std::string& old : ReadLines(note)) fs::remove_all(old, error);
  fs::remove(note, error);
  if (SuitsSocket(directory_)) {
    socket_directory_ = directory_;
    return absl::OkStatus();
  }
  const std::string runtime = absl::StrCat("/run/user/", geteuid());
  const bool usable = !account_ && access(runtime.c_str(), W_OK | X_OK) == 0;
  std::string made = (usable ? runtime : "/tmp") + "/twi-data.XXXXXX";
  if (mkdtemp(made.data()) == nullptr ||
      (account_ && chown(made.c_str(), account_->user, account_->group) != 0)) {
    return SystemError("cannot make " + made);
  }
  socket_directory_ = made;
  std::ofstream(note) << made << "\n";
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::StartPostgres() {
  Command command = {.arguments = {binaries_ + "/postgres", "-D", directory_ + "/data"},
                     .directory = directory_,
                     .account = account_,
                     .input = "",
                     .output = log_,
                     // At once, since nobody is left to wait for a slow end; it recovers.
                     .signal_at_our_end = SIGQUIT};
  for (const std::string& setting :
       {"unix_socket_directories=" + socket_directory_, std::string("listen_addresses="),
        absl::StrCat("port=", kPort), std::string("fsync=on"), std::string("wal_level=logical"),
        std::string("timezone=UTC"), std::string("cluster_name=twi-data")}) {
    command.arguments.insert(command.arguments.end(), {"-c", setting});
  }
  auto child = ChildProcess::Start(command);
  if (!child.ok()) return child.status();
  postgres_ = *child;

  // The file that PostgreSQL's own pg_ctl waits on: its first line is the process, its eighth the
  // state.
  const std::string state = directory_ + "/data/postmaster.pid";
  const absl::Time end = absl::Now() + kStartTimeout;
  while (true) {
    const std::vector<std::string> lines = ReadLines(state);
    if (lines.size() >= 8 && lines[0] == absl::StrCat(postgres_->pid()) &&
        absl::StartsWith(lines[7], "ready")) {
      break;
    }
    if (!postgres_->Running()) {
      return absl::FailedPreconditionError(Failure("PostgreSQL does not start"));
    }
    if (absl::Now() >= end) {
      return absl::FailedPreconditionError(Failure(
          absl::StrCat("PostgreSQL is not ready after ", absl::FormatDuration(kStartTimeout))));
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
  dsn_ = absl::StrCat("host=", socket_directory_, " port=", kPort, " user=twi dbname=twi");
  return absl::OkStatus();
}

absl::Status EmbeddedPostgres::Stop() {
  absl::Status status;
  if (postgres_) {
    // A fast shutdown: callers are cut off, what they committed is written.
    postgres_->Signal(SIGINT);
    if (!postgres_->Wait(kStopTimeout)) {
      status = absl::DeadlineExceededError(Failure("PostgreSQL had to be ended at once"));
      postgres_->Signal(SIGQUIT);
      // PostgreSQL kills its own children five seconds after that.
      if (!postgres_->Wait(absl::Seconds(10))) {
        postgres_->Signal(SIGKILL);
        postgres_->Wait(absl::InfiniteDuration());
      }
    }
    postgres_.reset();
  }
  if (!socket_directory_.empty() && socket_directory_ != directory_) {
    std::error_code error;
    fs::remove_all(socket_directory_, error);
    fs::remove(directory_ + "/socket_directory", error);
  }
  for (int* file : {&log_, &lock_}) {
    if (*file >= 0) close(*file);
    *file = -1;
  }
  return status;
}

/// `what`, and the last that the database wrote to its log.
std::string EmbeddedPostgres::Failure(const std::string& what) const {
  const std::string path = directory_ + "/postgres.log";
  std::vector<std::string> lines = ReadLines(path);
  if (lines.size() > kLogLinesInErrors) lines.erase(lines.begin(), lines.end() - kLogLinesInErrors);
  return absl::StrCat(what, "; ", path, " ends with\n", absl::StrJoin(lines, "\n"));
}

}  // namespace twi::server

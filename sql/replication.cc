#include "sql/replication.h"

#include <libpq-fe.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "sql/big_endian.h"
#include "sql/connector.h"
#include "sql/pgoutput.h"
#include "sql/primary.h"

namespace twi::sql {
namespace {

using std::chrono::milliseconds;
using Connected = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

// How often the source finds out that it is current, unasked.
constexpr milliseconds kInterval{10};
// The log may go further than what has been written to disk, and so been told: commits without
// waiting, or of transactions that are not through. After this long a commit of our own pushes it.
constexpr milliseconds kPatience{3};
constexpr milliseconds kSchemaInterval{1000};

// How far the log goes; the newest transaction; and, when $1, a number that changes with the
// schema. Vacuum and statistics do not change a row's xmin.
constexpr char kProbe[] =
    "select pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot())";
constexpr char kSchemaProbe[] = R"sql(
select pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot()), hashtext(
  (select string_agg(oid || ' ' || xmin, ' ' order by oid) from pg_class
   where oid >= 16384 and relpersistence <> 't') ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_proc
   where oid >= 16384) ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_rewrite
   where oid >= 16384) ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_policy) ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_publication_rel) ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_publication) ||
  (select coalesce(string_agg(indexrelid || ' ' || i.xmin, ' ' order by indexrelid), '')
   from pg_index i where indrelid >= 16384) ||
  (select coalesce(string_agg(attrelid || ' ' || attnum || ' ' || a.xmin, ' ' order by attrelid, attnum), '')
   from pg_attribute a join pg_class c on c.oid = attrelid
   where attrelid >= 16384 and attnum > 0 and relkind in ('r', 'p', 'v', 'm')
     and relpersistence <> 't'))
)sql";
// It commits, and what it leaves in the log is nobody's change.
constexpr char kPush[] = "select pg_logical_emit_message(true, 'twi_data.push', '')";

// In UTF-8: keys are compared with what callers ask for.
Connected Connect(const std::string& dsn, bool replication) {
  return {ConnectToPrimary(dsn, "10", "twi-data changes", replication), PQfinish};
}

absl::Status Broken(PGconn* connection) {
  return absl::UnavailableError(PQerrorMessage(connection));
}

std::string SlotName() {
  std::string name = "twi_data_";
  const uint64_t number = std::random_device{}() | uint64_t{std::random_device{}()} << 32;
  absl::StrAppend(&name, absl::Hex(number, absl::kZeroPad16));
  return name;
}

/// Of PostgreSQL's `16/B374D848`.
uint64_t Position(const char* text) {
  unsigned high = 0;
  unsigned low = 0;
  return std::sscanf(text, "%X/%X", &high, &low) == 2 ? uint64_t{high} << 32 | low : 0;
}

}  // namespace

/// One slot, from its creation to its loss.
class Replication::Stream {
 public:
  explicit Stream(Replication& source)
      : source_(source),
        changes_(Connect(source.options_.dsn, true)),
        questions_(Connect(source.options_.dsn, false)) {}

  /// Until it is lost or to stop; says why.
  absl::Status Follow();
  bool opened() const { return opened_; }

 private:
  absl::Status Open();
  /// Runs a statement to its end, unless it is to stop.
  absl::StatusOr<Result> Run(PGconn* connection, const std::string& text);
  /// Waits for either connection or a wake-up.
  void Wait(milliseconds timeout);
  absl::Status ReadChanges();
  absl::Status TakeMessage(std::string_view message);
  absl::Status Confirm(bool reply);
  absl::Status Ask();
  absl::Status ReadAnswer();
  absl::Status Push();
  void Conclude();

  Replication& source_;
  Connected changes_;
  Connected questions_;
  Pgoutput decoder_;
  bool opened_ = false;
  /// All commits up to here have been told.
  uint64_t told_ = 0;
  uint64_t confirmed_ = 0;
  BootClock::time_point confirmed_at_{};

  enum class Question { kNone, kPosition, kPush };
  Question question_ = Question::kNone;
  BootClock::time_point asked_at_{};
  BootClock::time_point schema_asked_at_{};
  /// The answer: where the log ended then. Until all before it has been told.
  std::optional<uint64_t> awaited_;
  bool pushed_ = false;
  std::optional<std::string> schema_;
};

absl::Status Replication::Stream::Follow() {
  if (absl::Status status = Open(); !status.ok()) return status;
  while (!source_.stopping_) {
    if (question_ == Question::kNone) {
      const auto now = BootClock::now();
      absl::Status status;
      if (awaited_) {
        if (!pushed_ && now >= asked_at_ + kPatience) status = Push();
      } else if (source_.asked_.exchange(false) || now >= asked_at_ + kInterval) {
        status = Ask();
      }
      if (!status.ok()) return status;
    }
    Wait(awaited_ ? milliseconds(1) : milliseconds(5));
    if (absl::Status status = ReadChanges(); !status.ok()) return status;
    if (absl::Status status = ReadAnswer(); !status.ok()) return status;
    Conclude();
    if (absl::Status status = Confirm(false); !status.ok()) return status;
    source_.listener_->OnTick(told_);
  }
  return absl::OkStatus();
}

absl::Status Replication::Stream::Open() {
  for (PGconn* connection : {changes_.get(), questions_.get()}) {
    if (PQstatus(connection) != CONNECTION_OK) return Broken(connection);
    PQsetNoticeReceiver(
        connection, [](void*, const PGresult*) {}, nullptr);
  }
  // A push must write the log, whatever others make do with, and wait for no standby.
  auto result = Run(questions_.get(), "set synchronous_commit = local");
  if (!result.ok()) return result.status();
  const std::string slot = SlotName();
  // It waits for the transactions that are under way.
  result = Run(changes_.get(), absl::StrCat("CREATE_REPLICATION_SLOT ", slot,
                                            " TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing')"));
  if (!result.ok()) return result.status();
  result = Run(changes_.get(), absl::StrCat("START_REPLICATION SLOT ", slot,
                                            " LOGICAL 0/0 (proto_version '2', publication_names '",
                                            kPublication, "', messages 'true', streaming 'true')"));
  if (!result.ok()) return result.status();
  // A transaction whose commit is in the log before the slot may be invisible still, and is never
  // told. It is older than this one.
  result = Run(questions_.get(), "select pg_current_xact_id()");
  if (!result.ok()) return result.status();
  uint64_t first = 0;
  if (!absl::SimpleAtoi(PQgetvalue(result->get(), 0, 0), &first)) {
    return absl::InternalError("no transaction number");
  }
  decoder_.SetEpoch(first);
  if (PQsetnonblocking(changes_.get(), 1) != 0) return Broken(changes_.get());
  opened_ = true;
  source_.listener_->OnOpen(first);
  return absl::OkStatus();
}

absl::StatusOr<Result> Replication::Stream::Run(PGconn* connection, const std::string& text) {
  if (!PQsendQuery(connection, text.c_str())) return Broken(connection);
  Result last(nullptr, PQclear);
  for (;;) {
    while (PQisBusy(connection)) {
      Wait(milliseconds(100));
      if (source_.stopping_) return absl::CancelledError("stopped");
      if (!PQconsumeInput(connection)) return Broken(connection);
    }
    Result result(PQgetResult(connection), PQclear);
    if (result == nullptr) return last;
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_COPY_BOTH) return result;
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
      return absl::FailedPreconditionError(PQresultErrorMessage(result.get()));
    }
    last = std::move(result);
  }
}

void Replication::Stream::Wait(milliseconds timeout) {
  std::array<pollfd, 3> files = {{{PQsocket(changes_.get()), POLLIN, 0},
                                  {PQsocket(questions_.get()), POLLIN, 0},
                                  {source_.wake_, POLLIN, 0}}};
  poll(files.data(), files.size(), static_cast<int>(timeout.count()));
  if (files[2].revents != 0) {
    uint64_t count = 0;
    [[maybe_unused]] const auto size = read(source_.wake_, &count, sizeof(count));
  }
}

absl::Status Replication::Stream::ReadChanges() {
  if (!PQconsumeInput(changes_.get())) return Broken(changes_.get());
  for (;;) {
    char* bytes = nullptr;
    const int size = PQgetCopyData(changes_.get(), &bytes, /*async=*/1);
    if (size == 0) return absl::OkStatus();
    if (size < 0) return Broken(changes_.get());
    const std::unique_ptr<char, decltype(&PQfreemem)> owned(bytes, PQfreemem);
    absl::Status status = TakeMessage({bytes, static_cast<size_t>(size)});
    if (!status.ok()) return status;
  }
}

absl::Status Replication::Stream::TakeMessage(std::string_view message) {
  BigEndianReader reader(message);
  switch (reader.Byte()) {
    case 'w': {  // A change: position, end of the log, time, message.
      reader.Bytes(24);
      if (!reader.ok()) return absl::InternalError("a short change");
      auto commit = decoder_.Take(message.substr(25));
      if (!commit.ok()) return commit.status();
      if (*commit) {
        if (!(*commit)->changes.empty()) source_.listener_->OnCommit((*commit)->changes);
        told_ = std::max(told_, (*commit)->end);
      }
      return absl::OkStatus();
    }
    case 'k': {  // All commits before this position have been sent.
      told_ = std::max(told_, reader.Int64());
      reader.Int64();
      return reader.Byte() != 0 ? Confirm(true) : absl::OkStatus();
    }
    default:
      return absl::InternalError("an unknown message of the replication");
  }
}

absl::Status Replication::Stream::Confirm(bool reply) {
  const auto now = BootClock::now();
  if (!reply && (confirmed_ == told_ || now < confirmed_at_ + kInterval)) return absl::OkStatus();
  confirmed_ = told_;
  confirmed_at_ = now;
  std::string status = "r";
  for (int i = 0; i < 3; ++i) AppendBigEndian(told_, &status);
  AppendBigEndian(0, &status);
  status.push_back('\0');
  if (PQputCopyData(changes_.get(), status.data(), static_cast<int>(status.size())) != 1 ||
      PQflush(changes_.get()) < 0) {
    return Broken(changes_.get());
  }
  return absl::OkStatus();
}

absl::Status Replication::Stream::Ask() {
  asked_at_ = BootClock::now();
  const bool schema = asked_at_ >= schema_asked_at_ + kSchemaInterval;
  if (schema) schema_asked_at_ = asked_at_;
  if (!PQsendQuery(questions_.get(), schema ? kSchemaProbe : kProbe)) {
    return Broken(questions_.get());
  }
  question_ = Question::kPosition;
  return absl::OkStatus();
}

absl::Status Replication::Stream::Push() {
  pushed_ = true;
  if (!PQsendQuery(questions_.get(), kPush)) return Broken(questions_.get());
  question_ = Question::kPush;
  return absl::OkStatus();
}

absl::Status Replication::Stream::ReadAnswer() {
  if (!PQconsumeInput(questions_.get())) return Broken(questions_.get());
  while (question_ != Question::kNone && !PQisBusy(questions_.get())) {
    const Result result(PQgetResult(questions_.get()), PQclear);
    if (result == nullptr) {
      question_ = Question::kNone;
      break;
    }
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
      return absl::UnavailableError(PQresultErrorMessage(result.get()));
    }
    if (question_ == Question::kPush) continue;
    awaited_ = Position(PQgetvalue(result.get(), 0, 0));
    pushed_ = false;
    uint64_t newest = 0;
    if (absl::SimpleAtoi(PQgetvalue(result.get(), 0, 1), &newest)) decoder_.SetEpoch(newest);
    if (PQnfields(result.get()) > 2) {
      std::string schema = PQgetvalue(result.get(), 0, 2);
      if (schema_ && *schema_ != schema) source_.listener_->OnSchemaChange();
      schema_ = std::move(schema);
    }
  }
  return absl::OkStatus();
}

void Replication::Stream::Conclude() {
  if (!awaited_ || told_ < *awaited_) return;
  awaited_.reset();
  source_.listener_->OnCurrent(asked_at_, told_);
}

absl::Status Replication::Check(const std::string& dsn) {
  const Connected connection = Connect(dsn, false);
  if (PQstatus(connection.get()) != CONNECTION_OK) return Broken(connection.get());
  const Result result(
      PQexec(connection.get(), absl::StrCat("select current_setting('wal_level') = 'logical',"
                                            " (select rolsuper or rolreplication from pg_roles"
                                            "  where rolname = current_user),"
                                            " exists (select from pg_publication where pubname = '",
                                            kPublication, "')")
                                   .c_str()),
      PQclear);
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) return Broken(connection.get());
  const char* const missing[] = {"wal_level is not `logical`", "the role lacks REPLICATION",
                                 "there is no publication: serve once with --migrate"};
  for (int i = 0; i < 3; ++i) {
    if (*PQgetvalue(result.get(), 0, i) != 't') return absl::FailedPreconditionError(missing[i]);
  }
  return absl::OkStatus();
}

Replication::Replication(Options options, ChangeListener* listener)
    : options_(std::move(options)),
      listener_(listener),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { Run(); }) {}

Replication::~Replication() {
  stopping_ = true;
  Freshen();
  thread_.join();
  close(wake_);
}

void Replication::Freshen() {
  // One wake-up until it is heeded.
  if (asked_.exchange(true) && !stopping_) return;
  const uint64_t one = 1;
  [[maybe_unused]] const auto size = write(wake_, &one, sizeof(one));
}

void Replication::Run() {
  Backoff backoff;
  while (!stopping_) {
    absl::Status status;
    {
      Stream stream(*this);
      status = stream.Follow();
      if (stream.opened()) backoff.Reset();
    }
    listener_->OnClosed();
    if (stopping_) return;
    options_.log("the stream of changes is lost", std::string(status.message()));
    Pause(backoff.Next());
  }
}

bool Replication::Pause(milliseconds pause) {
  const auto end = BootClock::now() + pause;
  while (!stopping_ && BootClock::now() < end) {
    pollfd file{wake_, POLLIN, 0};
    poll(&file, 1, static_cast<int>(pause.count()));
    uint64_t count = 0;
    [[maybe_unused]] const auto size = read(wake_, &count, sizeof(count));
  }
  return !stopping_;
}

}  // namespace twi::sql

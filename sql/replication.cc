#include "sql/replication.h"

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "sql/bell.h"
#include "sql/big_endian.h"
#include "sql/schema_watch.h"

namespace twi::sql {
namespace {

using std::chrono::milliseconds;

// The log may go further than what has been written to disk, and so been told: commits without
// waiting, or of transactions that are not through. After this long a commit of our own pushes it.
constexpr milliseconds kPatience{3};

// How far the log goes, and the newest transaction; prepared, for it is asked all the time.
constexpr char kProbe[] =
    "select pg_current_wal_insert_lsn(), pg_snapshot_xmax(pg_current_snapshot())";
constexpr char kProbeName[] = "twi_data_probe";
constexpr char kSchemaProbeName[] = "twi_data_schema_probe";
// It commits, and what it leaves in the log is nobody's change.
constexpr char kPush[] = "select pg_logical_emit_message(true, 'twi_data.push', '')";

constexpr char kAllowed[] = R"sql(
select current_setting('wal_level') = 'logical',
  (select rolsuper or rolreplication from pg_roles where rolname = current_user),
  exists (select from pg_publication where pubname = 'PUBLICATION'),
  (select count(*) from pg_replication_slots) < current_setting('max_replication_slots')::int
)sql";
// In the order of its columns.
constexpr const char* kLacks[] = {"wal_level is not `logical`", "the role lacks REPLICATION",
                                  "there is no publication: run `twi-data migrate up`",
                                  "all replication slots are in use"};

std::string SlotName() {
  std::string name = "twi_data_";
  const uint64_t number = std::random_device{}() | uint64_t{std::random_device{}()} << 32;
  absl::StrAppend(&name, absl::Hex(number, absl::kZeroPad16));
  return name;
}

}  // namespace

absl::Status Replication::Check(const std::string& dsn) {
  Bell bell;
  return Replication(dsn, nullptr, &bell).Allowed();
}

Replication::Replication(std::string dsn, ChangeListener* listener, Bell* bell)
    : Feed(std::move(dsn), listener, bell),
      questions_(Connect(/*replication=*/false)),
      // In UTF-8: keys are compared with what callers ask for.
      changes_(Connect(/*replication=*/true)) {}

absl::Status Replication::Allowed() {
  if (PQstatus(questions_.get()) != CONNECTION_OK) return Broken(questions_.get());
  std::string allowed = kAllowed;
  allowed.replace(allowed.find("PUBLICATION"), 11, kPublication);
  const auto result = Run(questions_.get(), allowed);
  if (!result.ok()) return result.status();
  for (int i = 0; i < PQnfields(result->get()); ++i) {
    if (*PQgetvalue(result->get(), 0, i) != 't') return absl::FailedPreconditionError(kLacks[i]);
  }
  // The database answers, but not to this: by its access rules, or all senders are in use.
  if (PQstatus(changes_.get()) != CONNECTION_OK) {
    return absl::FailedPreconditionError(PQerrorMessage(changes_.get()));
  }
  return absl::OkStatus();
}

absl::Status Replication::Follow() {
  while (!bell_.stopping()) {
    if (question_ == Question::kNone) {
      const auto now = BootClock::now();
      absl::Status status;
      if (awaited_) {
        if (!pushed_ && now >= asked_at_ + kPatience) status = Push();
      } else if (bell_.Answer() || now >= asked_at_ + kInterval) {
        status = Ask();
      }
      if (!status.ok()) return status;
    }
    const Ready ready =
        Wait({changes_.get(), questions_.get()}, awaited_ ? milliseconds(1) : milliseconds(5));
    if (ready[0]) {
      if (absl::Status status = ReadChanges(); !status.ok()) return status;
    }
    if (ready[1]) {
      if (absl::Status status = ReadAnswer(); !status.ok()) return status;
    }
    Conclude();
    if (absl::Status status = Confirm(false); !status.ok()) return status;
    listener_->OnTick(told_);
  }
  return absl::OkStatus();
}

absl::Status Replication::Open() {
  if (absl::Status status = Allowed(); !status.ok()) return status;
  // A push must write the log, whatever others make do with, and wait for no standby.
  auto result = Run(questions_.get(), "set synchronous_commit = local");
  if (!result.ok()) return result.status();
  for (const auto& [name, text] :
       {std::pair(kProbeName, std::string(kProbe)), {kSchemaProbeName, SchemaProbe(kProbe)}}) {
    result = Run(questions_.get(), absl::StrCat("prepare ", name, " as ", text));
    if (!result.ok()) return result.status();
  }
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
  listener_->OnOpen(first, from());
  return absl::OkStatus();
}

absl::Status Replication::ReadChanges() {
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

absl::Status Replication::TakeMessage(std::string_view message) {
  BigEndianReader reader(message);
  switch (reader.Byte()) {
    case 'w': {  // A change: position, end of the log, time, message.
      reader.Bytes(24);
      if (!reader.ok()) return absl::InternalError("a short change");
      auto commit = decoder_.Take(message.substr(25));
      if (!commit.ok()) return commit.status();
      if (*commit) {
        if (!(*commit)->changes.empty()) listener_->OnCommit((*commit)->changes);
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

absl::Status Replication::Confirm(bool reply) {
  const auto now = BootClock::now();
  if (!reply && (confirmed_ == told_ || now < confirmed_at_ + kInterval)) return absl::OkStatus();
  confirmed_ = told_;
  confirmed_at_ = now;
  std::string status = "r";
  for (int i = 0; i < 3; ++i) AppendBigEndian(told_, &status);
  AppendBigEndian(uint64_t{0}, &status);
  status.push_back('\0');
  if (PQputCopyData(changes_.get(), status.data(), static_cast<int>(status.size())) != 1 ||
      PQflush(changes_.get()) < 0) {
    return Broken(changes_.get());
  }
  return absl::OkStatus();
}

absl::Status Replication::Ask() {
  asked_at_ = BootClock::now();
  const bool schema = asked_at_ >= schema_asked_at_ + kSchemaInterval;
  if (schema) schema_asked_at_ = asked_at_;
  if (!PQsendQueryPrepared(questions_.get(), schema ? kSchemaProbeName : kProbeName, 0, nullptr,
                           nullptr, nullptr, /*resultFormat=*/0)) {
    return Broken(questions_.get());
  }
  question_ = Question::kPosition;
  return absl::OkStatus();
}

absl::Status Replication::Push() {
  pushed_ = true;
  if (!PQsendQuery(questions_.get(), kPush)) return Broken(questions_.get());
  question_ = Question::kPush;
  return absl::OkStatus();
}

absl::Status Replication::ReadAnswer() {
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
      if (schema_ && *schema_ != schema) listener_->OnSchemaChange();
      schema_ = std::move(schema);
    }
  }
  return absl::OkStatus();
}

void Replication::Conclude() {
  if (!awaited_ || told_ < *awaited_) return;
  awaited_.reset();
  listener_->OnCurrent(asked_at_, told_);
}

}  // namespace twi::sql

#include "sql/outbox.h"

#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "sql/bell.h"
#include "sql/schema_watch.h"

namespace twi::sql {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// How often it says that it is there, and clears away what all have read.
constexpr seconds kKeep{10};
// Who has not read for so long begins anew, whatever the database's clock says of him.
constexpr seconds kAsleep{60};

// Null when there is none.
constexpr char kAllowed[] = R"sql(
select
  (select bool_and(has_table_privilege(to_regclass(name), privilege))
   from unnest(array['twi_data.outbox', 'twi_data.outbox_reader']) name,
     unnest(array['select', 'insert', 'update', 'delete']) privilege
   having bool_and(to_regclass(name) is not null)),
  has_sequence_privilege(to_regclass('twi_data.outbox_until'), 'select')
  and has_sequence_privilege(to_regclass('twi_data.outbox_until'), 'update'))sql";

// $1 is the snapshot of the last reading, $2 the registration. What that did not see is of those
// that it knew as running, or of later ones. The log is looked at after the statement's snapshot
// was taken. The last column is null for what is told of a table as a whole.
constexpr char kPoll[] = R"sql(
select pg_current_snapshot(), pg_current_wal_insert_lsn(),
  reader.id is not null
    and (select last_value from twi_data.outbox_until) > extract(epoch from now()) + 1800,
  told.xid, told.relation, told.name, value
from (values (true)) one
left join twi_data.outbox_reader reader on reader.id = $2::bigint
left join lateral (
  select o.* from twi_data.outbox o where o.xid >= pg_snapshot_xmax($1::pg_snapshot)
  union all
  select o.* from pg_snapshot_xip($1::pg_snapshot) running (xid)
  join twi_data.outbox o on o.xid = running.xid) told on true
left join lateral unnest(told."values") value on true)sql";
enum PollColumn { kSnapshot, kLogEnd, kThere, kTransaction, kRelation, kName, kValue };

// Whoever changes who is registered does so one after the other. A reader's `needs` is older than
// whatever it has not read. For an hour the triggers write without hearing of a reader again.
constexpr char kKeeping[] = R"sql(
select pg_advisory_xact_lock(hashtext('twi_data.outbox'));
insert into twi_data.outbox_reader
select ID, pg_snapshot_xmin(NEEDS), clock_timestamp() where NEW
on conflict do nothing;
update twi_data.outbox_reader set needs = pg_snapshot_xmin(NEEDS), seen = clock_timestamp()
where id = ID;
select setval('twi_data.outbox_until', extract(epoch from clock_timestamp())::bigint + 3600);
delete from twi_data.outbox_reader where seen < clock_timestamp() - interval '5 minutes';
delete from twi_data.outbox where xid < (select min(needs) from twi_data.outbox_reader);
)sql";

// The last one takes all away.
constexpr char kLeaving[] = R"sql(
select pg_advisory_xact_lock(hashtext('twi_data.outbox'));
delete from twi_data.outbox_reader where id = ID;
select setval('twi_data.outbox_until', 0)
where not exists (select from twi_data.outbox_reader);
delete from twi_data.outbox where not exists (select from twi_data.outbox_reader);
)sql";

}  // namespace

absl::Status Outbox::Check(const std::string& dsn) {
  Bell bell;
  return Outbox(dsn, nullptr, &bell).Allowed();
}

Outbox::Outbox(std::string dsn, ChangeListener* listener, Bell* bell)
    : Feed(std::move(dsn), listener, bell),
      polls_(Connect(/*replication=*/false)),
      chores_(Connect(/*replication=*/false)),
      id_(absl::StrCat(static_cast<int64_t>(std::random_device{}()) << 31 |
                       std::random_device{}() >> 1)) {}

Outbox::~Outbox() {
  if (!registered_ || PQstatus(polls_.get()) != CONNECTION_OK) return;
  // After the reading that is under way. Who does not take his leave keeps rows for minutes.
  bool leaving = false;
  const auto end = BootClock::now() + seconds(1);
  while (BootClock::now() < end) {
    if (!polling_) {
      const std::string leave = absl::StrReplaceAll(kLeaving, {{"ID", id_}});
      if (leaving || !PQsendQuery(polls_.get(), leave.c_str())) return;
      leaving = polling_ = true;
    }
    if (PQisBusy(polls_.get())) {
      Wait({polls_.get()}, milliseconds(50));
      if (!PQconsumeInput(polls_.get())) return;
    } else if (Result(PQgetResult(polls_.get()), PQclear) == nullptr) {
      polling_ = false;
    }
  }
}

absl::Status Outbox::Allowed() {
  if (PQstatus(polls_.get()) != CONNECTION_OK) return Broken(polls_.get());
  const auto result = Run(polls_.get(), kAllowed);
  if (!result.ok()) return result.status();
  for (int i = 0; i < PQnfields(result->get()); ++i) {
    if (PQgetisnull(result->get(), 0, i)) {
      return absl::FailedPreconditionError("there is none: run `twi-data migrate up`");
    }
    if (*PQgetvalue(result->get(), 0, i) != 't') {
      return absl::FailedPreconditionError("the role may not use it");
    }
  }
  return absl::OkStatus();
}

absl::Status Outbox::Open() {
  if (absl::Status status = Allowed(); !status.ok()) return status;
  if (PQstatus(chores_.get()) != CONNECTION_OK) return Broken(chores_.get());
  // Keys are compared with what callers ask for. A reading must not go through the whole table
  // because statistics lag behind.
  for (PGconn* connection : {polls_.get(), chores_.get()}) {
    auto result = Run(connection,
                      "set client_encoding = 'UTF8'; set synchronous_commit = off; set jit = off;"
                      "set enable_seqscan = off; set plan_cache_mode = force_generic_plan");
    if (!result.ok()) return result.status();
  }
  auto result =
      Run(chores_.get(),
          absl::StrReplaceAll(kKeeping,
                              {{"ID", id_}, {"NEEDS", "pg_current_snapshot()"}, {"NEW", "true"}}));
  if (!result.ok()) return result.status();
  registered_ = true;
  // Who has a number from here on on writes down what he does. Of those before some may not have.
  result = Run(polls_.get(), "select pg_current_xact_id(), pg_current_snapshot()");
  if (!result.ok()) return result.status();
  uint64_t first = 0;
  if (!absl::SimpleAtoi(PQgetvalue(result->get(), 0, 0), &first)) {
    return absl::InternalError("no transaction number");
  }
  snapshot_ = PQgetvalue(result->get(), 0, 1);
  const Result prepared(PQprepare(polls_.get(), "poll", kPoll, 0, nullptr), PQclear);
  if (PQresultStatus(prepared.get()) != PGRES_COMMAND_OK) return Refused(prepared.get());
  kept_at_ = read_at_ = BootClock::now();
  listener_->OnOpen(first, from());
  return absl::OkStatus();
}

absl::Status Outbox::Follow() {
  while (!bell_.stopping()) {
    const auto now = BootClock::now();
    if (!polling_ && (bell_.Answer() || now >= asked_at_ + kInterval)) {
      if (absl::Status status = Poll(); !status.ok()) return status;
    }
    if (absl::Status status = DoChores(); !status.ok()) return status;
    Wait({polls_.get(), chores_.get()}, milliseconds(5));
    if (absl::Status status = ReadPoll(); !status.ok()) return status;
    if (absl::Status status = ReadChores(); !status.ok()) return status;
    // Of no place in the log is it known that all commits before it are visible.
    listener_->OnTick(0);
  }
  return absl::OkStatus();
}

absl::Status Outbox::Poll() {
  asked_at_ = BootClock::now();
  const std::array<const char*, 2> values = {snapshot_.c_str(), id_.c_str()};
  if (!PQsendQueryPrepared(polls_.get(), "poll", 2, values.data(), nullptr, nullptr, 0)) {
    return Broken(polls_.get());
  }
  polling_ = true;
  return absl::OkStatus();
}

absl::Status Outbox::ReadPoll() {
  if (!PQconsumeInput(polls_.get())) return Broken(polls_.get());
  while (polling_ && !PQisBusy(polls_.get())) {
    const Result result(PQgetResult(polls_.get()), PQclear);
    if (result == nullptr) {
      polling_ = false;
      break;
    }
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) return Refused(result.get());
    if (absl::Status status = TakeRows(result.get()); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Outbox::TakeRows(PGresult* rows) {
  if (*PQgetvalue(rows, 0, kThere) != 't') {
    return absl::UnavailableError("it is not registered any more: rows may be gone");
  }
  if (BootClock::now() > read_at_ + kAsleep) return absl::UnavailableError("it has slept too long");
  absl::flat_hash_map<uint64_t, Changes> transactions;
  for (int row = 0; row < PQntuples(rows); ++row) {
    if (PQgetisnull(rows, row, kTransaction)) continue;
    uint64_t xid = 0;
    Oid relation = 0;
    if (!absl::SimpleAtoi(PQgetvalue(rows, row, kTransaction), &xid) ||
        !absl::SimpleAtoi(PQgetvalue(rows, row, kRelation), &relation)) {
      return absl::InternalError("a row that cannot be read");
    }
    Changes& changes = transactions[xid];
    changes.transaction = xid;
    if (relation == 0) {
      changes.schema = true;
    } else if (PQgetisnull(rows, row, kName) || PQgetisnull(rows, row, kValue)) {
      changes.tables[relation].AddAll();
    } else {
      changes.tables[relation].Add(
          HashKey(relation, PQgetvalue(rows, row, kName), PQgetvalue(rows, row, kValue)));
    }
  }
  for (const auto& [xid, changes] : transactions) listener_->OnCommit(changes);
  snapshot_ = PQgetvalue(rows, 0, kSnapshot);
  read_at_ = asked_at_;
  listener_->OnCurrent(asked_at_, Position(PQgetvalue(rows, 0, kLogEnd)));
  return absl::OkStatus();
}

absl::Status Outbox::DoChores() {
  if (chore_ != Chore::kNone) return absl::OkStatus();
  const auto now = BootClock::now();
  std::string chore;
  if (now >= schema_asked_at_ + kSchemaInterval) {
    schema_asked_at_ = now;
    chore_ = Chore::kSchema;
    chore = SchemaProbe("select 1");
  } else if (now >= kept_at_ + kKeep) {
    kept_at_ = now;
    chore_ = Chore::kKeep;
    chore = absl::StrReplaceAll(
        kKeeping,
        {{"ID", id_}, {"NEEDS", absl::StrCat("'", snapshot_, "'::pg_snapshot")}, {"NEW", "false"}});
  } else {
    return absl::OkStatus();
  }
  return PQsendQuery(chores_.get(), chore.c_str()) ? absl::OkStatus() : Broken(chores_.get());
}

absl::Status Outbox::ReadChores() {
  if (!PQconsumeInput(chores_.get())) return Broken(chores_.get());
  while (chore_ != Chore::kNone && !PQisBusy(chores_.get())) {
    const Result result(PQgetResult(chores_.get()), PQclear);
    if (result == nullptr) {
      chore_ = Chore::kNone;
      break;
    }
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) return Refused(result.get());
    if (chore_ != Chore::kSchema) continue;
    std::string schema = PQgetvalue(result.get(), 0, 1);
    if (schema_ && *schema_ != schema) listener_->OnSchemaChange();
    schema_ = std::move(schema);
  }
  return absl::OkStatus();
}

}  // namespace twi::sql

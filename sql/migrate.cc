#include "sql/migrate.h"

#include <cstdint>
#include <pqxx/pqxx>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "sql/adoption.h"
#include "sql/blocking.h"
#include "sql/draft.h"
#include "sql/schema.h"
#include "sql/text.h"
#include "sql/workshop.h"

namespace twi::sql {
namespace {

constexpr std::string_view kCreateTable = R"sql(
create table if not exists twi_data_migrations (
  number integer primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now(),
  duration interval not null
))sql";

/// FNV-1a: equal on every machine, which absl::Hash is not.
std::string Checksum(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return absl::StrFormat("%016x", hash);
}

absl::StatusOr<Migration> Parse(const EmbeddedText& text) {
  Migration migration;
  migration.name = text.name.substr(0, text.name.rfind(".sql"));
  std::string ignored;
  std::string* section = &ignored;
  for (absl::string_view line : absl::StrSplit(ToAbsl(text.text), '\n')) {
    if (line == "-- up") {
      section = &migration.up;
    } else if (line == "-- down") {
      section = &migration.down;
    } else {
      absl::StrAppend(section, line, "\n");
    }
  }
  absl::StripAsciiWhitespace(&migration.up);
  absl::StripAsciiWhitespace(&migration.down);
  migration.checksum = Checksum(migration.up);
  const std::vector<std::string> parts = absl::StrSplit(migration.name, absl::MaxSplits('_', 1));
  if (parts.size() != 2 || parts[0].size() != 4 || !absl::SimpleAtoi(parts[0], &migration.number)) {
    return absl::InternalError(absl::StrCat(migration.name, " is not named NNNN_name.sql"));
  }
  if (migration.up.empty() || migration.down.empty()) {
    return absl::InternalError(
        absl::StrCat(migration.name, " lacks the section `-- up` or `-- down`"));
  }
  return migration;
}

std::vector<AppliedMigration> ReadApplied(pqxx::transaction_base& transaction) {
  std::vector<AppliedMigration> applied;
  if (transaction.exec("select to_regclass('twi_data_migrations')")[0][0].is_null()) return applied;
  for (const pqxx::row& row : transaction.exec(
           "select number, name, checksum, extract(epoch from applied_at)::float8,"
           " extract(epoch from duration)::float8 from twi_data_migrations order by number")) {
    applied.push_back({.number = row[0].as<int>(),
                       .name = row[1].as<std::string>(),
                       .checksum = row[2].as<std::string>(),
                       .applied_at = absl::UnixEpoch() + absl::Seconds(row[3].as<double>()),
                       .duration = absl::Seconds(row[4].as<double>())});
  }
  return applied;
}

/// Whether what was applied is the beginning of `known`, text for text.
absl::Status Verify(const std::vector<AppliedMigration>& applied,
                    const std::vector<Migration>& known) {
  for (size_t i = 0; i < applied.size(); ++i) {
    const AppliedMigration& is = applied[i];
    if (i >= known.size()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the database is newer than this program: it has ", applied.back().name,
          ", the last one known here is ", known.empty() ? "none" : known.back().name));
    }
    const Migration& should = known[i];
    if (is.number != should.number || is.name != should.name) {
      return absl::FailedPreconditionError(
          absl::StrCat("the database has ", is.name, " where ", should.name, " is known here"));
    }
    if (is.checksum != should.checksum) {
      return absl::FailedPreconditionError(absl::StrCat(
          should.name, " was changed after it had been applied: write a new migration instead"));
    }
  }
  return absl::OkStatus();
}

/// What the database has, when it is the beginning of `known`.
absl::StatusOr<std::vector<AppliedMigration>> ReadVerified(pqxx::connection& connection,
                                                           const std::vector<Migration>& known) {
  pqxx::nontransaction session(connection);
  std::vector<AppliedMigration> applied = ReadApplied(session);
  if (absl::Status status = Verify(applied, known); !status.ok()) return status;
  return applied;
}

/// Notes a migration as applied by this transaction.
void Record(pqxx::work& work, const Migration& migration) {
  work.exec_params(
      "insert into twi_data_migrations (number, name, checksum, duration)"
      " values ($1, $2, $3, clock_timestamp() - now())",
      migration.number, migration.name, migration.checksum);
}

/// Runs a migration's text. Where it drops or changes what materialized views of `optimize` read,
/// they are dropped before it: nothing is lost, and they would keep it from being done. True when
/// they were.
bool Execute(pqxx::work& work, const std::string& text) {
  constexpr std::string_view kDependentObjects = "2BP01";
  constexpr std::string_view kColumnOfView = "0A000";
  try {
    pqxx::subtransaction attempt(work);
    attempt.exec(text);
    attempt.commit();
    return false;
  } catch (const pqxx::sql_error& error) {
    if (error.sqlstate() != kDependentObjects && error.sqlstate() != kColumnOfView) throw;
    if (!DropViews(work)) throw;
  }
  work.exec(text);
  return true;
}

/// Applies or undoes one migration, together with the record of it.
absl::Status Take(pqxx::connection& connection, const Migration& migration, bool up,
                  const Migrations::Report& report) {
  const absl::Time start = absl::Now();
  bool views_dropped = false;
  absl::Status status = Guarded([&]() -> absl::Status {
    pqxx::work work(connection);
    views_dropped = Execute(work, up ? migration.up : migration.down);
    if (up) {
      Record(work, migration);
    } else {
      work.exec_params("delete from twi_data_migrations where number = $1", migration.number);
    }
    work.commit();
    return absl::OkStatus();
  });
  if (!status.ok()) {
    // Of a commit that lost its connection nobody knows whether it was done.
    const char* what = absl::IsUnavailable(status) ? " failed: " : " failed and left nothing: ";
    return absl::Status(status.code(),
                        absl::StrCat(migration.name, up ? "" : " (down)", what, status.message()));
  }
  if (report) {
    report({.name = migration.name,
            .kind = up ? MigrationStep::Kind::kUp : MigrationStep::Kind::kDown,
            .duration = absl::Now() - start,
            .views_dropped = views_dropped});
  }
  return absl::OkStatus();
}

/// Adopts what the bot made. All migrations are applied then.
absl::Status AdoptAll(BlockingConnection& connection, const std::vector<Migration>& migrations,
                      const Migrations::Report& report) {
  if (absl::Status status = Adopt(connection, migrations, report); !status.ok()) return status;
  pqxx::work work(connection);
  work.exec(std::string(kCreateTable));
  for (const Migration& migration : migrations) Record(work, migration);
  work.commit();
  return absl::OkStatus();
}

/// Goes to what `target` says of the current number, under the lock.
absl::Status Go(const std::string& dsn, const std::vector<Migration>& migrations,
                const std::function<absl::StatusOr<int>(int current)>& target,
                const Migrations::Report& report) {
  return Guarded([&]() -> absl::Status {
    BlockingConnection connection(dsn);
    connection.Lock(AdvisoryLock::kMigrations);
    auto applied = ReadVerified(connection, migrations);
    if (!applied.ok()) return applied.status();
    int current = static_cast<int>(applied->size());
    const absl::StatusOr<int> goal = target(current);
    if (!goal.ok()) return goal.status();
    if (current == 0 && *goal > 0 && IsAdoptionDue(connection, migrations)) {
      if (*goal == static_cast<int>(migrations.size())) {
        return AdoptAll(connection, migrations, report);
      }
      return absl::FailedPreconditionError(
          "the bot's tables are there: `twi-data migrate up` adopts them, as a whole");
    }
    if (current < *goal) pqxx::nontransaction(connection).exec(std::string(kCreateTable));
    while (current != *goal) {
      const bool up = current < *goal;
      absl::Status status = Take(connection, migrations[up ? current : current - 1], up, report);
      if (!status.ok()) return status;
      current += up ? 1 : -1;
    }
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<Migrations> Migrations::Load(std::string dsn,
                                            const std::vector<EmbeddedText>& texts) {
  std::vector<Migration> migrations;
  for (const EmbeddedText& text : texts) {
    absl::StatusOr<Migration> migration = Parse(text);
    if (!migration.ok()) return migration.status();
    if (migration->number != static_cast<int>(migrations.size()) + 1) {
      return absl::InternalError(
          absl::StrFormat("%s comes where %04d is due", migration->name, migrations.size() + 1));
    }
    migrations.push_back(*std::move(migration));
  }
  return Migrations(std::move(dsn), std::move(migrations));
}

absl::Status Migrations::Up(const Report& report) const {
  // Without the lock, a share of which is held for as long as an index is being made.
  if (const absl::StatusOr<int> pending = Pending(); pending.ok() && *pending == 0) {
    return absl::OkStatus();
  }
  return Go(
      dsn_, migrations_, [this](int) { return Latest(); }, report);
}

absl::Status Migrations::Down(int steps, const Report& report) const {
  const auto target = [steps](int current) -> absl::StatusOr<int> {
    if (steps >= 1 && steps <= current) return current - steps;
    return absl::InvalidArgumentError(
        absl::StrCat("cannot go down ", steps, ": the database has ", current, " migrations"));
  };
  return Go(dsn_, migrations_, target, report);
}

absl::Status Migrations::To(int number, const Report& report) const {
  if (number < 0 || number > Latest()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no migration ", number, ": the last is ", Latest()));
  }
  return Go(
      dsn_, migrations_, [number](int) { return number; }, report);
}

absl::StatusOr<int> Migrations::Current() const {
  auto applied = History();
  if (!applied.ok()) return applied.status();
  return static_cast<int>(applied->size());
}

absl::StatusOr<int> Migrations::Pending() const {
  auto current = Current();
  if (!current.ok()) return current;
  return Latest() - *current;
}

absl::StatusOr<std::vector<AppliedMigration>> Migrations::History() const {
  return Guarded([&]() -> absl::StatusOr<std::vector<AppliedMigration>> {
    BlockingConnection connection(dsn_);
    return ReadVerified(connection, migrations_);
  });
}

absl::StatusOr<std::vector<AppliedMigration>> Migrations::Recorded() const {
  return Guarded([&]() -> absl::StatusOr<std::vector<AppliedMigration>> {
    BlockingConnection connection(dsn_);
    pqxx::nontransaction session(connection);
    return ReadApplied(session);
  });
}

absl::StatusOr<std::vector<RejectedRows>> Migrations::Rejected() const {
  return Guarded([&]() -> absl::StatusOr<std::vector<RejectedRows>> {
    BlockingConnection connection(dsn_);
    pqxx::nontransaction session(connection);
    std::vector<RejectedRows> rejected;
    if (session.exec("select to_regclass('twi_data_rejected')")[0][0].is_null()) return rejected;
    for (const pqxx::row& row :
         session.exec("select \"table\", reason, count(*) from twi_data_rejected"
                      " group by 1, 2 order by 1, 2")) {
      rejected.push_back({.table = row[0].as<std::string>(),
                          .reason = row[1].as<std::string>(),
                          .rows = row[2].as<int64_t>()});
    }
    return rejected;
  });
}

absl::StatusOr<SchemaCheck> Migrations::Check() const {
  return Guarded([&]() -> absl::StatusOr<SchemaCheck> {
    BlockingConnection connection(dsn_);
    connection.Lock(AdvisoryLock::kMigrations);
    auto applied = ReadVerified(connection, migrations_);
    if (!applied.ok()) return applied.status();

    pqxx::work work(connection);
    const auto live_schema = work.exec("select current_schema()")[0][0].as<std::string>();
    const auto live_quoted = work.quote_name(live_schema);
    work.exec("set local search_path = " + live_quoted);
    const std::vector<SchemaObject> live = ReadSchema(work, live_schema);
    // The live schema stays in the path for the extensions that live in it.
    const std::string scratch = "twi_data_check";
    work.exec("create schema " + scratch);
    work.exec(absl::StrCat("set local search_path = ", scratch, ", ", live_quoted));
    for (size_t i = 0; i < applied->size(); ++i) work.exec(migrations_[i].up);
    std::vector<SchemaObject> expected = ReadSchema(work, scratch);
    ExpectOptimized(work, scratch, live_schema, live, &expected);
    work.abort();

    auto [differences, foreign] = Differences(expected, live);
    for (size_t i = applied->size(); i < migrations_.size(); ++i) {
      differences.push_back(absl::StrCat("migration ", migrations_[i].name, " is not applied"));
    }
    return SchemaCheck{.differences = std::move(differences),
                       .foreign = std::move(foreign),
                       .draft = Draft(Changes(expected, live))};
  });
}

}  // namespace twi::sql

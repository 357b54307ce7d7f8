#include "server/migrate_command.h"

#include <sysexits.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "server/exit_code.h"
#include "sql/migrate.h"
#include "sql/prepare_sources.h"

namespace twi::server {
namespace {

namespace fs = std::filesystem;
using sql::Migrations;

constexpr char kUsage[] = R"(usage: twi-data migrate COMMAND
  up         apply what the database lacks, and make what the cache follows its
             changes by; a database of the bot is adopted
  down N     undo the last N migrations
  to N       go up or down to migration N
  current    the number of the last migration applied
  history    every migration, and when it was applied
  check      how the schema differs from what the migrations make; with --sql
             a draft of the statements that would mend it
  new NAME   begin a migration in sql/migrations
)";

int Fail(const absl::Status& status, std::ostream& err) {
  err << "twi-data migrate: " << status.message() << "\n";
  return ExitCode(status);
}

std::string Milliseconds(absl::Duration duration) {
  return absl::StrFormat("%.1f ms", absl::ToDoubleMilliseconds(duration));
}

int Current(const Migrations& migrations, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<int> current = migrations.Current();
  if (!current.ok()) return Fail(current.status(), err);
  out << *current << "\n";
  return EX_OK;
}

int History(const Migrations& migrations, std::ostream& out, std::ostream& err) {
  const auto history = migrations.History();
  if (!history.ok()) return Fail(history.status(), err);
  for (const sql::AppliedMigration& applied : *history) {
    out << absl::StreamFormat(
        "%-32s %s  %s\n", applied.name,
        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", applied.applied_at, absl::UTCTimeZone()),
        Milliseconds(applied.duration));
  }
  for (const sql::Migration& migration : migrations.known()) {
    if (migration.number <= static_cast<int>(history->size())) continue;
    out << absl::StreamFormat("%-32s not applied\n", migration.name);
  }
  return EX_OK;
}

int Check(const Migrations& migrations, bool draft, std::ostream& out, std::ostream& err) {
  const auto check = migrations.Check();
  if (!check.ok()) return Fail(check.status(), err);
  if (draft) {
    for (const std::string& sentence : check->differences) out << "-- " << sentence << "\n";
    out << check->draft;
    return check->differences.empty() ? EX_OK : EX_DATAERR;
  }
  for (const std::string& sentence : check->differences) out << sentence << "\n";
  for (const std::string& sentence : check->foreign) out << "note: " << sentence << "\n";
  if (!check->differences.empty()) return EX_DATAERR;
  out << "the schema is what the migrations make\n";
  return EX_OK;
}

const char* Word(sql::MigrationStep::Kind kind) {
  switch (kind) {
    case sql::MigrationStep::Kind::kUp:
      return "up";
    case sql::MigrationStep::Kind::kDown:
      return "down";
    case sql::MigrationStep::Kind::kAdopt:
      return "adopt";
  }
  return "";
}

/// What an adoption could not leave where it was.
int Rejected(const Migrations& migrations, std::ostream& out, std::ostream& err) {
  const auto rejected = migrations.Rejected();
  if (!rejected.ok()) return Fail(rejected.status(), err);
  for (const sql::RejectedRows& rows : *rejected) {
    out << absl::StreamFormat("%d of %s went to twi_data_rejected: %s\n", rows.rows, rows.table,
                              rows.reason);
  }
  return EX_OK;
}

/// Writes an empty migration with the next number into the source tree that we stand in.
int New(const std::string& name, std::ostream& out, std::ostream& err) {
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_';
  });
  if (!plain) {
    err << "twi-data migrate: a migration's name is of a-z, 0-9 and _\n";
    return EX_USAGE;
  }
  const fs::path folder = "sql/migrations";
  std::error_code error;
  int last = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    int number = 0;
    if (absl::SimpleAtoi(entry.path().filename().string().substr(0, 4), &number)) {
      last = std::max(last, number);
    }
  }
  if (error) {
    err << "twi-data migrate: no folder sql/migrations here: call this in the source tree\n";
    return EX_NOINPUT;
  }
  const fs::path path = folder / absl::StrFormat("%04d_%s.sql", last + 1, name);
  std::ofstream file(path);
  file << "-- What this is for.\n\n-- up\n\n-- down\n";
  if (!file.flush()) {
    err << "twi-data migrate: cannot write " << path.string() << "\n";
    return EX_CANTCREAT;
  }
  out << path.string() << "\n";
  return EX_OK;
}

}  // namespace

int MigrateCommand(const OpenDsn& open, std::vector<std::string> arguments, std::ostream& out,
                   std::ostream& err) {
  // How many operands each command takes.
  static const std::map<std::string, size_t> kOperands = {
      {"up", 0}, {"down", 1}, {"to", 1}, {"current", 0}, {"history", 0}, {"check", 0}, {"new", 1}};
  const std::string command = arguments.empty() ? "" : arguments[0];
  const auto known = kOperands.find(command);
  int number = 0;
  const bool draft = command == "check" && arguments.back() == "--sql";
  if (draft) arguments.pop_back();
  if (known == kOperands.end() || arguments.size() != 1 + known->second ||
      ((command == "down" || command == "to") && !absl::SimpleAtoi(arguments[1], &number))) {
    err << kUsage;
    return EX_USAGE;
  }
  if (command == "new") return New(arguments[1], out, err);

  const absl::StatusOr<std::string> dsn = open();
  if (!dsn.ok()) {
    err << "twi-data migrate: " << dsn.status().message() << "\n";
    return EX_UNAVAILABLE;
  }
  const absl::StatusOr<Migrations> migrations = Migrations::Load(*dsn);
  if (!migrations.ok()) return Fail(migrations.status(), err);
  if (command == "current") return Current(*migrations, out, err);
  if (command == "history") return History(*migrations, out, err);
  if (command == "check") return Check(*migrations, draft, out, err);

  int steps = 0;
  bool adopted = false;
  const auto report = [&](const sql::MigrationStep& step) {
    ++steps;
    adopted |= step.kind == sql::MigrationStep::Kind::kAdopt;
    out << absl::StreamFormat("%-4s %-32s %s%s\n", Word(step.kind), step.name,
                              Milliseconds(step.duration),
                              step.views_dropped ? "  dropped the views: optimize makes them" : "")
        << std::flush;
  };
  absl::Status status;
  if (command == "up") {
    status = migrations->Up(report);
  } else if (command == "down") {
    status = migrations->Down(number, report);
  } else {
    status = migrations->To(number, report);
  }
  if (!status.ok()) return Fail(status, err);
  if (steps == 0) out << "nothing to do\n";
  // Of an owner who is not the one that serves, nobody else could make them.
  if (command != "down") {
    sql::PrepareSources(*dsn, [&out](std::string_view event, std::string_view detail) {
      out << "note: " << event << ": " << detail << "\n";
    });
  }
  if (adopted) return Rejected(*migrations, out, err);
  return EX_OK;
}

}  // namespace twi::server

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sql/embedded_text.h"

namespace twi::sql {

/// One step of the schema's history, read from `NNNN_name.sql`: what follows the line `-- up` makes
/// it, what follows `-- down` undoes it. Each runs in one transaction and names no schema.
struct Migration {
  int number = 0;    ///< 1 for the first, without gaps.
  std::string name;  ///< `0001_quotes`
  std::string up;
  std::string down;
  std::string checksum;  ///< Of `up`.
};

/// A step just taken.
struct MigrationStep {
  enum class Kind { kUp, kDown, kAdopt };
  std::string name;  ///< Of a migration, or of a stage of an adoption.
  Kind kind = Kind::kUp;
  absl::Duration duration;
  bool views_dropped = false;  ///< The materialized views of `optimize` were in its way.
};

/// Rows that an adoption could not leave in their table.
struct RejectedRows {
  std::string table;
  std::string reason;
  int64_t rows = 0;
};

/// What Migrations::Check finds.
struct SchemaCheck {
  /// How the schema differs from what the applied migrations make, one sentence each, and which
  /// migrations it lacks; empty when it is as it should be.
  std::vector<std::string> differences;
  /// Tables, views, functions and sequences that stand alone and are somebody else's.
  std::vector<std::string> foreign;
  /// A draft of the statements that would make the schema what it should be.
  std::string draft;
};

/// A migration that a database has.
struct AppliedMigration {
  int number = 0;
  std::string name;
  std::string checksum;
  absl::Time applied_at;
  absl::Duration duration;
};

/// Brings a database's schema to a migration's state and tells where it stands.
///
/// The database remembers in a table of its own, twi_data_migrations, what was applied with which
/// text. Every function connects anew; those that change or compare the schema hold an advisory
/// lock, so any number of processes may call them at once: one works, the others wait and find it
/// done.
///
/// Errors: UNAVAILABLE when the database cannot be reached or goes away; FAILED_PRECONDITION when
/// an applied migration's text has changed since, when the database is newer than this program, or
/// when the database refuses a statement, with its words: these are for an operator, not for
/// callers.
class Migrations {
 public:
  using Report = std::function<void(const MigrationStep&)>;

  /// INTERNAL when a text is not a migration or a number is missing.
  static absl::StatusOr<Migrations> Load(std::string dsn,
                                         const std::vector<EmbeddedText>& texts = kMigrations);

  /// The number of the last migration that this program knows, 0 without any.
  int Latest() const { return static_cast<int>(migrations_.size()); }
  /// The migrations that this program knows, by number from 1.
  const std::vector<Migration>& known() const { return migrations_; }

  /// Applies what is not applied. Steps are reported as each is committed: one that fails leaves
  /// nothing of itself and all before it. A database that the bot made for itself is adopted
  /// (`adoption.h`).
  absl::Status Up(const Report& report) const;
  /// Undoes the last `steps`. INVALID_ARGUMENT unless 1 <= `steps` <= Current().
  absl::Status Down(int steps, const Report& report) const;
  /// Goes up or down to `number`. INVALID_ARGUMENT unless 0 <= `number` <= Latest().
  absl::Status To(int number, const Report& report) const;

  /// The number of the last migration that the database has, 0 without any.
  absl::StatusOr<int> Current() const;
  /// How many migrations the database lacks.
  absl::StatusOr<int> Pending() const;
  /// What the database has, by number.
  absl::StatusOr<std::vector<AppliedMigration>> History() const;
  /// The same, whatever this program knows of it: also what was changed since or is newer.
  absl::StatusOr<std::vector<AppliedMigration>> Recorded() const;

  /// The rows that the adoption of the database moved to twi_data_rejected.
  absl::StatusOr<std::vector<RejectedRows>> Rejected() const;

  /// Compares the database's schema with what the applied migrations make: they are applied to a
  /// schema made for this and rolled back, so the role must be allowed to create schemas. Nothing
  /// is changed.
  absl::StatusOr<SchemaCheck> Check() const;

 private:
  Migrations(std::string dsn, std::vector<Migration> migrations)
      : dsn_(std::move(dsn)), migrations_(std::move(migrations)) {}

  std::string dsn_;
  std::vector<Migration> migrations_;
};

}  // namespace twi::sql

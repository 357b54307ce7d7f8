#pragma once

#include <optional>
#include <string>

#include "sql/feed.h"

namespace twi::sql {

/// Follows a database's changes without its log: triggers (PrepareOutbox) write down what each
/// statement changes, in the transaction that changes it, and the table of that is read again and
/// again. Who reads it registers, and the triggers write only while somebody has.
///
/// How it knows that it is current: a reading is one statement, and so of one snapshot. What is new
/// in it are the transactions that the snapshot of the reading before did not see. All that was
/// visible when it was sent is in it or in one before. That no row was gone by then it knows by its
/// registration, which is read with it: as long as that is there nothing is cleared away that this
/// has not read, and it goes together with the rows when the server crashes, for neither is logged.
class Outbox : public Feed {
 public:
  /// Whether the database has one: FAILED_PRECONDITION says what is missing, UNAVAILABLE that it
  /// cannot be asked. Blocks.
  static absl::Status Check(const std::string& dsn);

  Outbox(std::string dsn, ChangeListener* listener, Bell* bell);
  /// Takes its registration away, if that is quickly done.
  ~Outbox() override;

  ChangesFrom from() const override { return ChangesFrom::kOutbox; }
  absl::Status Open() override;
  absl::Status Follow() override;

 private:
  absl::Status Allowed();
  absl::Status Poll();
  absl::Status ReadPoll();
  absl::Status TakeRows(pg_result* rows);
  absl::Status DoChores();
  absl::Status ReadChores();

  Connected polls_;
  /// For what takes longer than a reading may.
  Connected chores_;
  /// Of the registration.
  std::string id_;
  bool registered_ = false;

  /// Of the last reading: what it saw.
  std::string snapshot_;
  bool polling_ = false;
  BootClock::time_point asked_at_{};
  /// Of the last reading that was answered.
  BootClock::time_point read_at_{};

  enum class Chore { kNone, kSchema, kKeep };
  Chore chore_ = Chore::kNone;
  BootClock::time_point schema_asked_at_{};
  BootClock::time_point kept_at_{};
  std::optional<std::string> schema_;
};

}  // namespace twi::sql

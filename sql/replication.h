#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sql/feed.h"
#include "sql/pgoutput.h"

namespace twi::sql {

/// The publication whose tables are followed; PreparePublication makes it.
inline constexpr char kPublication[] = "twi_data";

/// Follows a database's changes by logical replication: a temporary slot, which leaves nothing
/// behind, whatever becomes of this process.
///
/// How it knows that it is current: it asks the database how far its log goes, and then waits until
/// the slot has told of everything up to there. A transaction visible when it asked had written its
/// commit to the log before. The time that counts is that of the question.
class Replication : public Feed {
 public:
  /// Whether the database allows it: FAILED_PRECONDITION says what is missing, UNAVAILABLE that it
  /// cannot be asked. Blocks.
  static absl::Status Check(const std::string& dsn);

  Replication(std::string dsn, ChangeListener* listener, Bell* bell);

  ChangesFrom from() const override { return ChangesFrom::kStream; }
  absl::Status Open() override;
  absl::Status Follow() override;

 private:
  /// Whether a slot is to be had, as far as that can be known before.
  absl::Status Allowed();
  absl::Status ReadChanges();
  absl::Status TakeMessage(std::string_view message);
  absl::Status Confirm(bool reply);
  absl::Status Ask();
  absl::Status ReadAnswer();
  absl::Status Push();
  void Conclude();

  Connected questions_;
  Connected changes_;
  Pgoutput decoder_;
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

}  // namespace twi::sql

#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "sql/changes.h"

namespace twi::sql {

/// The publication whose tables are followed; PreparePublication makes it.
inline constexpr char kPublication[] = "twi_data";

/// Follows a database's changes by logical replication: a temporary slot, which leaves nothing
/// behind, whatever becomes of this process. Works on a thread of its own, opens again what it
/// loses, and tells its listener.
///
/// How it knows that it is current: it asks the database how far its log goes, and then waits until
/// the slot has told of everything up to there. A transaction visible when it asked had written its
/// commit to the log before. The time that counts is that of the question.
class Replication : public ChangeSource {
 public:
  struct Options {
    std::string dsn;
    /// Called on the source's thread with what is worth a line in the log.
    std::function<void(std::string_view event, std::string_view detail)> log =
        [](std::string_view, std::string_view) {};
  };

  /// Whether the database allows it: FAILED_PRECONDITION says what is missing, UNAVAILABLE that it
  /// cannot be asked. Blocks.
  static absl::Status Check(const std::string& dsn);

  /// `listener` must outlive this.
  Replication(Options options, ChangeListener* listener);
  ~Replication() override;

  void Freshen() override;

 private:
  class Stream;

  void Run();
  /// Waits, unless it is to stop; false when it is.
  bool Pause(std::chrono::milliseconds pause);

  const Options options_;
  ChangeListener* const listener_;
  int wake_;  ///< An eventfd.
  std::atomic<bool> stopping_{false};
  std::atomic<bool> asked_{false};
  std::thread thread_;
};

}  // namespace twi::sql

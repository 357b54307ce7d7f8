#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"
#include "sql/bell.h"
#include "sql/changes.h"

namespace twi::sql {

class Feed;

/// Follows a database's changes on a thread of its own, and opens again what it loses. Each time it
/// takes the stream (replication.h) if the database allows it, and the outbox (outbox.h) otherwise.
/// What it has it keeps until it is lost: a better one is not worth forgetting all for.
class Follower : public ChangeSource {
 public:
  struct Options {
    std::string dsn;
    /// The only way to take; kNone leaves it to the database.
    ChangesFrom only = ChangesFrom::kNone;
    /// Called on the follower's thread with what is worth a line in the log.
    std::function<void(std::string_view event, std::string_view detail)> log =
        [](std::string_view, std::string_view) {};
    /// Called on its thread when it follows in another way than before, or no more does so for
    /// another reason than before: why not in the ways that come first.
    std::function<void(ChangesFrom from, std::string_view why)> chosen = [](ChangesFrom,
                                                                            std::string_view) {};
  };

  /// `listener` must outlive this.
  Follower(Options options, ChangeListener* listener);
  ~Follower() override;

  void Freshen() override { bell_.Ring(); }

 private:
  void Run();
  /// The first of the ways that the database allows, opened. What it says otherwise is the reason
  /// of the last of them if they are all refused, or that the database cannot be asked.
  absl::StatusOr<std::unique_ptr<Feed>> Open();
  void Choose(ChangesFrom from, const std::string& why);

  const Options options_;
  ChangeListener* const listener_;
  Bell bell_;
  // Of the thread:
  std::string chosen_;
  std::thread thread_;
};

}  // namespace twi::sql

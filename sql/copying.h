#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "sql/copy.h"
#include "sql/copy_statement.h"
#include "sql/execution.h"

namespace twi::sql {

/// A COPY as its caller and the loop see it.
class Copying {
 public:
  using Done = Copy::Done;

  Copying(CopyOptions options, bool in);

  // The caller's side, on any thread. A step gives false when it is done at once. `wake` is set
  // when the loop is to look.

  bool Begin(Done done);
  bool Put(std::string_view bytes, Done done, bool* wake);
  bool Next(Done done);
  bool End(Done done, bool* wake);
  bool Abort(std::string_view reason, Done done);
  /// What came last, "" at the end; not OK when it has failed.
  absl::StatusOr<std::string> Taken();
  std::optional<CopyOutcome> outcome() const;
  /// The caller is gone. True when that undoes it.
  bool Drop();

  // The loop's side, on its thread. Steps that are done are told so before these return.

  const CopyStatement& statement() const { return statement_; }
  Clock::time_point deadline() const { return deadline_; }
  /// OK while somebody wants it.
  absl::Status Awaited() const;
  /// For the database's log.
  std::string reason() const;

  void Begun();
  enum class Piece { kNone, kSome, kEnd };
  /// Gives what was put instead of `bytes`. After kNone the next put wakes the loop.
  Piece Take(std::string* bytes);
  /// Somebody waits for bytes.
  bool asked() const;
  void Give(std::string bytes);
  void Over(CopyOutcome outcome);

  /// Its end was sent.
  bool end_sent = false;
  int64_t rows = 0;

 private:
  /// Takes in as much of the put under way as there is room for.
  void Fill();

  const Clock::time_point deadline_;
  CopyStatement statement_;

  mutable std::mutex mutex_;
  // All guarded by mutex_:
  const std::atomic<bool>* cancelled_;
  /// Of the step that is under way.
  Done step_;
  std::string incoming_;
  /// What of the put under way was not taken in yet.
  std::string_view rest_;
  std::string given_;
  std::string reason_ = "the caller gave up";
  bool begun_ = false;
  bool asked_ = false;
  bool ending_ = false;
  bool unwanted_ = false;
  /// The loop has nothing to send.
  bool resting_ = false;
  std::optional<CopyOutcome> over_;
};

}  // namespace twi::sql

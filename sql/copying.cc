#include "sql/copying.h"

#include <algorithm>
#include <utility>

namespace twi::sql {
namespace {

// As much again is being sent.
constexpr size_t kMostIncoming = 512 * 1024;

}  // namespace

Copying::Copying(CopyOptions options, bool in)
    : deadline_(options.deadline), cancelled_(options.cancelled) {
  absl::StatusOr<CopyStatement> statement = ReadCopy(options.text);
  if (!statement.ok()) {
    over_ = CopyOutcome{.status = statement.status()};
  } else if (statement->in != in) {
    over_ = CopyOutcome{.status = Error(absl::StatusCode::kInvalidArgument, "REQUEST_MALFORMED",
                                        in ? "it is a COPY … TO STDOUT, not FROM STDIN"
                                           : "it is a COPY … FROM STDIN, not TO STDOUT")};
  } else {
    statement_ = *std::move(statement);
  }
}

bool Copying::Begin(Done done) {
  std::lock_guard lock(mutex_);
  if (over_) return false;
  begun_ = true;
  step_ = std::move(done);
  return true;
}

bool Copying::Put(std::string_view bytes, Done done, bool* wake) {
  std::lock_guard lock(mutex_);
  if (over_) return false;
  rest_ = bytes;
  Fill();
  *wake = std::exchange(resting_, false);
  if (rest_.empty()) return false;
  step_ = std::move(done);
  return true;
}

bool Copying::Next(Done done) {
  std::lock_guard lock(mutex_);
  if (over_) return false;
  asked_ = true;
  step_ = std::move(done);
  return true;
}

bool Copying::End(Done done, bool* wake) {
  std::lock_guard lock(mutex_);
  if (over_) return false;
  ending_ = true;
  *wake = std::exchange(resting_, false);
  step_ = std::move(done);
  return true;
}

bool Copying::Abort(std::string_view reason, Done done) {
  std::lock_guard lock(mutex_);
  if (over_) return false;
  unwanted_ = true;
  reason_ = reason;
  step_ = std::move(done);
  return true;
}

absl::StatusOr<std::string> Copying::Taken() {
  std::lock_guard lock(mutex_);
  if (given_.empty() && over_ && !over_->status.ok()) return over_->status;
  return std::exchange(given_, {});
}

std::optional<CopyOutcome> Copying::outcome() const {
  std::lock_guard lock(mutex_);
  return over_;
}

bool Copying::Drop() {
  std::lock_guard lock(mutex_);
  const bool runs = begun_ && !over_;
  cancelled_ = nullptr;
  // What runs ends with its session: a cancel might be quicker, and leave that open.
  if (!runs) unwanted_ = true;
  return runs;
}

absl::Status Copying::Awaited() const {
  std::lock_guard lock(mutex_);
  return unwanted_ ? GaveUp() : sql::Awaited(deadline_, cancelled_);
}

std::string Copying::reason() const {
  std::lock_guard lock(mutex_);
  return reason_;
}

void Copying::Begun() {
  Done done;
  {
    std::lock_guard lock(mutex_);
    // An abort is done when all is over.
    if (!unwanted_) done = std::exchange(step_, nullptr);
  }
  if (done) done();
}

Copying::Piece Copying::Take(std::string* bytes) {
  Done done;
  Piece piece = Piece::kSome;
  {
    std::lock_guard lock(mutex_);
    bytes->clear();
    bytes->swap(incoming_);
    if (!rest_.empty()) {
      Fill();
      if (rest_.empty()) done = std::exchange(step_, nullptr);
    }
    if (bytes->empty()) piece = ending_ ? Piece::kEnd : Piece::kNone;
    resting_ = piece == Piece::kNone;
  }
  if (done) done();
  return piece;
}

bool Copying::asked() const {
  std::lock_guard lock(mutex_);
  return asked_;
}

void Copying::Give(std::string bytes) {
  Done done;
  {
    std::lock_guard lock(mutex_);
    given_ = std::move(bytes);
    asked_ = false;
    done = std::exchange(step_, nullptr);
  }
  if (done) done();
}

void Copying::Over(CopyOutcome outcome) {
  Done done;
  {
    std::lock_guard lock(mutex_);
    over_ = std::move(outcome);
    rest_ = {};
    incoming_ = {};
    done = std::exchange(step_, nullptr);
  }
  if (done) done();
}

void Copying::Fill() {
  const size_t room = kMostIncoming - std::min(kMostIncoming, incoming_.size());
  incoming_.append(rest_.substr(0, room));
  rest_.remove_prefix(std::min(room, rest_.size()));
}

}  // namespace twi::sql

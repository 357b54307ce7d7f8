#include "sql/session.h"

#include <algorithm>
#include <asio/post.hpp>
#include <limits>
#include <utility>

#include "sql/transfer.h"

namespace twi::sql {
namespace {

// How soon a caller who gives up is noticed.
constexpr std::chrono::milliseconds kLook{20};

}  // namespace

Session::Session(std::shared_ptr<Connection> connection, asio::io_context& loop,
                 asio::thread_pool& workers, Owner* owner)
    : loop_(loop),
      workers_(workers),
      owner_(owner),
      connection_(std::move(connection)),
      timer_(loop) {
  connection_->Listen(this);
}

Session::~Session() {
  if (connection_) connection_->Close();
}

void Session::Run(Execution* execution, Done done) {
  execution_ = execution;
  Begin(std::move(done));
}

void Session::Run(std::shared_ptr<Copying> copying, Done done) {
  copying_ = std::move(copying);
  Begin(std::move(done));
}

void Session::Move(const Copying* copying) {
  if (copying_.get() != copying || !sent_) return;
  if (!cancelling_ && !cancelled_ && !Wanted()) Cancel();
  if (Transfer* const transfer = connection_->transfer()) transfer->Move();
}

void Session::Begin(Done done) {
  done_ = std::move(done);
  sent_ = false;
  error_.reset();
  cancelled_ = false;
  if (!cancelling_) Send();
}

void Session::Send() {
  sent_ = true;
  sent_at_ = Clock::now();
  if (copying_ != nullptr) {
    connection_->Begin(copying_);
    return Look(std::min(Deadline(), sent_at_ + kLook));
  }
  if (execution_ == nullptr) {
    connection_->Reset();
  } else {
    execution_->Sent(sent_at_);
    execution_->rows = Rows();
    taking_snapshot_ = execution_->wants_snapshot;
    if (taking_snapshot_) connection_->Send(kTakeSnapshot, {});
    execution_->affected = 0;
    execution_->repeated = 0;
    bytes_ = 0;
    too_large_ = false;
    if (execution_->describe) {
      connection_->Describe(*execution_->statement);
    } else if (execution_->repeats.empty()) {
      connection_->Send(*execution_->statement, execution_->parameters);
    }
    for (const Parameters& parameters : execution_->repeats) {
      connection_->Send(*execution_->statement, parameters);
    }
    if (!execution_->statement->read_only) connection_->RequestAnswers();
    connection_->Sync();
    Look(std::min(execution_->deadline, sent_at_ + kLook));
  }
  connection_->Flush();
}

void Session::OnRows(Rows rows) {
  if (execution_ == nullptr) return;
  if (std::exchange(taking_snapshot_, false)) {
    execution_->snapshot = Snapshot::Of(rows);
    return;
  }
  execution_->affected += rows.affected();
  ++execution_->repeated;
  execution_->rows = std::move(rows);
  execution_->own_time = Clock::now() - sent_at_;
}

void Session::OnError(DatabaseError error) {
  if (execution_ != nullptr) execution_->own_time = Clock::now() - sent_at_;
  error_ = std::move(error);
}

void Session::OnSync(const DatabaseError* error) {
  const auto self = shared_from_this();
  if (error != nullptr && !error_) error_ = *error;
  const Transaction began = std::exchange(transaction_, connection_->transaction());
  Execution* execution = std::exchange(execution_, nullptr);
  copying_.reset();
  if (execution != nullptr) {
    execution->solo = true;
    execution->run_time = Clock::now() - sent_at_;
    // PostgreSQL takes that for a rollback, and says that it went well.
    if (execution->statement == &kCommit && began == Transaction::kFailed && !error_) {
      error_ = DatabaseError{"25P02", "a commit of a transaction that had failed", "", ""};
    }
  }
  timer_.cancel();
  const std::optional<DatabaseError> failure = std::exchange(error_, std::nullopt);
  std::exchange(done_, nullptr)({.error = failure ? &*failure : nullptr,
                                 .sent = true,
                                 .cancelled = cancelled_,
                                 .too_large = too_large_,
                                 .began = began});
}

bool Session::CountsBytes() const {
  return execution_ != nullptr && execution_->most_bytes < std::numeric_limits<uint64_t>::max();
}

void Session::OnBytes(size_t count) {
  bytes_ += count;
  if (bytes_ <= execution_->most_bytes || too_large_ || cancelling_) return;
  too_large_ = true;
  Cancel();
}

void Session::OnBroken(DatabaseError error) {
  // What the server said of the statement says more than that the connection broke.
  Lose(error_ ? *std::exchange(error_, std::nullopt) : error);
}

void Session::Break() { Lose({"", "the connection was closed", "", ""}); }

void Session::Lose(const DatabaseError& error) {
  const auto self = shared_from_this();
  std::exchange(connection_, nullptr)->Close();
  timer_.cancel();
  execution_ = nullptr;
  copying_.reset();
  const Done done = std::exchange(done_, nullptr);
  owner_->OnLost(this, error);
  if (done == nullptr) return;
  done({.error = &error,
        .sent = sent_,
        .broken = true,
        .cancelled = cancelled_,
        .began = transaction_});
}

void Session::Leave(std::function<void()> gone) {
  timer_.cancel();
  std::exchange(connection_, nullptr)->Leave(std::move(gone));
  copying_.reset();
  const Done done = std::exchange(done_, nullptr);
  if (done == nullptr) return;
  const DatabaseError error = {"", "the session was given back", "", ""};
  done({.error = &error, .sent = sent_, .broken = true, .began = transaction_});
}

Clock::time_point Session::Deadline() const {
  return copying_ != nullptr ? copying_->deadline() : execution_->deadline;
}

bool Session::Wanted() const {
  if (copying_ != nullptr) return copying_->Awaited().ok();
  return Clock::now() < execution_->deadline && !execution_->abandoned();
}

void Session::Look(Clock::time_point when) {
  timer_.expires_at(when);
  timer_.async_wait([weak = weak_from_this()](const std::error_code& error) {
    const auto self = weak.lock();
    if (error || self == nullptr || !self->sent_) return;
    if (self->execution_ == nullptr && self->copying_ == nullptr) return;
    // The look at the statement before may come late. A second cancel would outlast the first, and
    // hit what runs then.
    if (self->cancelling_) return;
    if (!self->Wanted()) return self->Cancel();
    self->Look(std::min(self->Deadline(), Clock::now() + kLook));
    if (Transfer* const transfer = self->connection_->transfer()) transfer->Look();
  });
}

void Session::Cancel() {
  cancelled_ = true;
  cancelling_ = true;
  if (Transfer* const transfer = connection_->transfer()) transfer->GiveUp();
  asio::post(workers_,
             [weak = weak_from_this(), &loop = loop_, cancel = connection_->PrepareCancel()] {
               // Without its connection there is nothing to cancel, and nobody there to take it,
               // perhaps.
               if (!weak.expired()) cancel();
               asio::post(loop, [weak] {
                 if (const auto self = weak.lock()) self->Cancelled();
               });
             });
}

void Session::Cancelled() {
  cancelling_ = false;
  if (connection_ == nullptr) return;
  if (!running()) return owner_->OnReady(this);
  // It came before the statement did.
  if (sent_) return Look(Clock::now() + kLook);
  const bool wanted =
      copying_ != nullptr ? Wanted() : execution_ == nullptr || !execution_->Expire();
  if (wanted) return Send();
  execution_ = nullptr;
  copying_.reset();
  std::exchange(done_, nullptr)({.began = transaction_});
}

}  // namespace twi::sql

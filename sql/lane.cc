#include "sql/lane.h"

#include <algorithm>
#include <asio/post.hpp>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"

namespace twi::sql {
namespace {

// 8, 32 and 128 statements a batch gave 29,000, 37,000 and 29,000 point reads a second.
constexpr size_t kBatchLimit = 32;
// At 10,000 statements a second of a busy small machine, half a second of waiting.
constexpr size_t kQueueLimit = 5000;

const Statement kSetTimeout = {"twi_data_statement_timeout",
                               "select set_config('statement_timeout', $1, false)", true};

absl::Status TooMany() {
  return Error(absl::StatusCode::kResourceExhausted, "OVERLOADED",
               "too many calls are waiting for the database");
}

}  // namespace

Lane::Lane(Kind kind, asio::io_context& loop, Conduct& conduct,
           std::function<void(Execution*)> alone, std::function<void(DatabaseError)> lost)
    : kind_(kind),
      loop_(loop),
      conduct_(conduct),
      alone_(std::move(alone)),
      lost_(std::move(lost)) {}

Lane::~Lane() { Close(); }

bool Lane::Submit(Execution* execution) {
  {
    std::lock_guard lock(mutex_);
    if (!refusal_.ok() || queue_.size() >= kQueueLimit) {
      execution->status = refusal_.ok() ? TooMany() : refusal_;
      return false;
    }
    queue_.push_back(execution);
    // Set and read under the lock, so that a wake-up is neither lost nor sent twice.
    if (!std::exchange(asleep_, false)) return true;
  }
  asio::post(loop_, [this] { Start(); });
  return true;
}

int Lane::waiting() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(queue_.size());
}

void Lane::Attach(std::shared_ptr<Connection> connection) {
  connection_ = std::move(connection);
  timeout_ = std::chrono::milliseconds(0);
  {
    std::lock_guard lock(mutex_);
    refusal_ = absl::OkStatus();
    asleep_ = false;
  }
  connection_->Listen(this);
  Start();
}

void Lane::Refuse(const absl::Status& status) {
  Batch refused;
  for (Batch& batch : again_) refused.insert(refused.end(), batch.begin(), batch.end());
  again_.clear();
  {
    std::lock_guard lock(mutex_);
    refusal_ = status;
    refused.insert(refused.end(), queue_.begin(), queue_.end());
    queue_.clear();
  }
  for (Execution* execution : refused) {
    execution->status = status;
    execution->done();
  }
}

void Lane::Close() {
  if (connection_) connection_->Close();
  connection_.reset();
  for (Execution* execution : GiveUp({"", "the lane was closed", "", ""})) execution->done();
}

void Lane::Start() {
  if (!connection_ || !batch_.empty()) return;
  batch_ = Next();
  busy_ = !batch_.empty();
  if (batch_.empty()) return;
  position_ = 0;
  failed_.reset();
  sent_at_ = Clock::now();
  SetTimeout(batch_);
  for (Execution* execution : batch_) {
    ++execution->attempts;
    connection_->Send(*execution->statement, execution->parameters);
  }
  connection_->Sync();
  connection_->Flush();
}

Lane::Batch Lane::Next() {
  Batch batch;
  Batch dropped;
  Batch apart;
  const auto take = [&](Execution* execution) {
    (execution->Expire() ? dropped : batch).push_back(execution);
  };
  while (batch.empty() && !again_.empty()) {
    std::for_each(again_.front().begin(), again_.front().end(), take);
    again_.pop_front();
  }
  if (batch.empty()) {
    std::lock_guard lock(mutex_);
    while (batch.size() < kBatchLimit && !queue_.empty()) {
      if (conduct_.TravelsAlone(queue_.front()->statement)) {
        apart.push_back(queue_.front());
      } else {
        take(queue_.front());
      }
      queue_.pop_front();
    }
    asleep_ = batch.empty();
  }
  for (Execution* execution : apart) alone_(execution);
  for (Execution* execution : dropped) execution->done();
  return batch;
}

void Lane::SetTimeout(const Batch& batch) {
  Clock::duration longest{};
  for (const Execution* execution : batch) {
    longest = std::max(longest, execution->deadline - sent_at_);
  }
  // A power of two, so that it seldom changes. A timeout up to four times too long stays: callers
  // are answered at their deadlines all the same.
  const auto needed = std::clamp<int64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(longest).count(), 1, 1 << 30);
  const std::chrono::milliseconds rounded(std::bit_ceil(static_cast<uint64_t>(needed)));
  if (rounded <= timeout_ && timeout_ <= 4 * rounded) return;
  timeout_ = rounded;
  Parameters parameters;
  parameters.Add(absl::StrCat(rounded.count()));
  connection_->Send(kSetTimeout, parameters);
  // A Sync of its own: a failing batch would undo the setting with itself.
  connection_->Sync();
  setting_timeout_ = true;
}

void Lane::OnRows(Rows rows) {
  if (setting_timeout_) return;
  Execution* execution = batch_[position_++];
  execution->rows = std::move(rows);
  execution->run_time = Clock::now() - sent_at_;
}

void Lane::OnError(DatabaseError error) {
  if (setting_timeout_) return;
  batch_[position_]->run_time = Clock::now() - sent_at_;
  failed_ = position_++;
  error_ = std::move(error);
}

void Lane::OnSkipped() {
  if (!setting_timeout_) ++position_;
}

void Lane::OnSync(const DatabaseError* error) {
  if (std::exchange(setting_timeout_, false)) return;
  Batch batch = std::exchange(batch_, {});
  Batch answered;
  const bool slow = Clock::now() - sent_at_ > Conduct::kSlow;
  for (Execution* execution : batch) {
    execution->solo = batch.size() == 1;
    if (execution->solo) {
      conduct_.RanAlone(execution->statement, !failed_ && error == nullptr, execution->run_time);
    } else if (slow) {
      conduct_.Suspect(execution->statement);
    }
  }
  if (failed_) {
    Sort(std::move(batch), error_, *failed_, &answered);
  } else if (error != nullptr) {
    Sort(std::move(batch), *error, std::string::npos, &answered);
  } else {
    answered = std::move(batch);
  }
  if (!connection_->idle()) {
    Close();
    lost_({"", "the connection came out of a batch inside a transaction", "", ""});
  }
  // The database works on the next batch while this one's callers are answered.
  Start();
  for (Execution* execution : answered) execution->done();
}

void Lane::Sort(Batch batch, const DatabaseError& error, size_t failed, Batch* answered) {
  const auto part = [&batch](size_t begin, size_t end) {
    return Batch(batch.begin() + static_cast<ptrdiff_t>(begin),
                 batch.begin() + static_cast<ptrdiff_t>(end));
  };
  const bool alone = batch.size() == 1;
  if (failed == std::string::npos && !alone) {
    // It failed at the commit, and nobody knows by whose fault: by halves.
    RunAgain(part(0, batch.size() / 2));
    RunAgain(part(batch.size() / 2, batch.size()));
    return;
  }
  if (failed == std::string::npos) failed = 0;
  if (kind_ == Kind::kRead) {
    *answered = part(0, failed);
  } else {
    RunAgain(part(0, failed));
  }
  Judge(batch[failed], error, alone, answered);
  RunAgain(part(failed + 1, batch.size()));
}

void Lane::Judge(Execution* culprit, const DatabaseError& error, bool alone, Batch* answered) {
  // Another transaction holds a lock that it needs, or it took as long as the batch may: neither is
  // to hold up the lane.
  if (error.sqlstate == "55P03" || error.sqlstate == "57014") return alone_(culprit);
  if (!alone) conduct_.Failed(culprit->statement);
  // Reads do not see one another, so the culprit of a read batch is one when alone, too. Before the
  // culprit of a write batch there were writes that are undone now.
  const bool its_own = alone || kind_ == Kind::kRead;
  const bool passing = error.retry() == Retry::kStatement && culprit->may_run_again();
  if (!its_own || passing) return RunAgain({culprit});
  culprit->Fail(error);
  answered->push_back(culprit);
}

void Lane::RunAgain(Batch batch) {
  if (batch.empty()) return;
  for (Execution* execution : batch) execution->rows = Rows();
  again_.push_back(std::move(batch));
}

void Lane::OnBroken(DatabaseError error) {
  connection_.reset();
  Batch answered = GiveUp(error);
  lost_(std::move(error));
  for (Execution* execution : answered) execution->done();
}

Lane::Batch Lane::GiveUp(const DatabaseError& error) {
  setting_timeout_ = false;
  Batch answered;
  for (Execution* execution : std::exchange(batch_, {})) {
    if (execution->SurvivesBreak(error)) {
      RunAgain({execution});
    } else {
      answered.push_back(execution);
    }
  }
  return answered;
}

}  // namespace twi::sql

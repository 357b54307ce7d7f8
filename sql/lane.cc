#include "sql/lane.h"

#include <algorithm>
#include <asio/post.hpp>
#include <span>
#include <utility>

namespace twi::sql {
namespace {

std::vector<Execution*> CallersOf(std::span<const Unit> units) {
  std::vector<Execution*> callers;
  for (const Unit& unit : units) {
    callers.insert(callers.end(), unit.members().begin(), unit.members().end());
  }
  return callers;
}

// A flow takes whole batches when no other one had a call for so long.
constexpr std::chrono::seconds kLately{1};

/// Into the last unit of its statement, or one of its own.
void Gather(Execution* execution, std::vector<Unit>* units) {
  if (Unit::MayShare(*execution)) {
    const auto same = std::find_if(units->rbegin(), units->rend(), [&](const Unit& unit) {
      return unit.statement() == execution->statement;
    });
    if (same != units->rend() && same->Join(execution)) return;
  }
  units->emplace_back(execution);
}

}  // namespace

Lane::Lane(Kind kind, BatchLimits limits, Clock::duration max_wait, asio::io_context& loop,
           Conduct& conduct, std::function<void(Execution*)> alone,
           std::function<void(DatabaseError)> lost)
    : kind_(kind),
      limits_(limits),
      loop_(loop),
      conduct_(conduct),
      alone_(std::move(alone)),
      lost_(std::move(lost)),
      pace_(max_wait),
      patience_(loop) {}

Lane::~Lane() { Close(); }

bool Lane::Submit(Execution* execution) {
  size_t before = 0;
  bool full = false;
  bool asleep = false;
  {
    std::lock_guard lock(mutex_);
    if (!refusal_.ok()) {
      execution->status = refusal_;
      return false;
    }
    before = queue_.Before(execution->flow);
    full = !queue_.HasRoom(execution->flow, kQueueLimit) ||
           (before > limits_.callers && pace_.TooLate(before, execution->deadline));
    if (!full) {
      queue_.Push(execution->flow, execution);
      // Set and read under the lock, so that a wake-up is neither lost nor sent twice. Who waits
      // for more callers before the first batch gets fewer of them done (tests/bench/lanes).
      asleep = std::exchange(asleep_, false);
    }
  }
  // A flood of those that are refused must not hold the lock for longer than it has to.
  if (full) {
    execution->status = TooManyWait(pace_.Wait(before));
    if (execution->flow != nullptr && pace_.TooLong(before)) {
      execution->flow->refused.Set(execution->statement, execution->status);
    }
  }
  if (asleep) asio::post(loop_, [this] { Start(); });
  return !full;
}

int Lane::waiting() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(queue_.size());
}

void Lane::Attach(std::shared_ptr<Connection> connection) {
  connection_ = std::move(connection);
  if (const auto restored = std::exchange(restored_, nullptr)) restored->Replaced();
  {
    std::lock_guard lock(mutex_);
    refusal_ = absl::OkStatus();
    asleep_ = false;
  }
  connection_->Listen(this);
  Start();
}

void Lane::Replace(std::shared_ptr<Connection> connection, Retired retired) {
  replacement_ = std::move(connection);
  retired_ = std::move(retired);
  Start();
}

void Lane::TakeReplacement() {
  std::shared_ptr<Connection> old = std::move(connection_);
  const Retired retired = std::exchange(retired_, nullptr);
  Attach(std::exchange(replacement_, nullptr));
  retired(std::move(old));
}

void Lane::Lose(DatabaseError error) {
  busy_ = false;
  if (replacement_) return TakeReplacement();
  lost_(std::move(error));
}

void Lane::Refuse(const absl::Status& status) {
  restored_ = nullptr;
  Callers refused;
  for (const Callers& callers : again_)
    refused.insert(refused.end(), callers.begin(), callers.end());
  again_.clear();
  {
    std::lock_guard lock(mutex_);
    refusal_ = status;
    const Callers waited = queue_.RemoveIf([](const Execution*) { return true; });
    refused.insert(refused.end(), waited.begin(), waited.end());
  }
  for (Execution* execution : refused) {
    execution->status = status;
    execution->done();
  }
}

void Lane::Close() {
  Answered(false);
  if (connection_) connection_->Close();
  connection_.reset();
  if (replacement_) std::exchange(replacement_, nullptr)->Close();
  for (Execution* execution : GiveUp({"", "the lane was closed", "", ""})) execution->done();
}

void Lane::Start() {
  if (asked_ != nullptr) return;
  if (replacement_ && batch_.empty()) return TakeReplacement();
  if (!connection_ || !batch_.empty()) return;
  batch_ = Next();
  busy_ = !batch_.empty();
  if (batch_.empty()) return;
  position_ = 0;
  failed_.reset();
  sent_at_ = Clock::now();
  snapshot_.reset();
  transaction_.reset();
  taking_snapshot_ = Wants(batch_, &Execution::wants_snapshot);
  if (taking_snapshot_) connection_->Send(kTakeSnapshot, {});
  for (Unit& unit : batch_) {
    for (Execution* member : unit.members()) member->Sent(sent_at_);
    connection_->Send(unit.sent(), unit.Bind());
  }
  if (Wants(batch_, &Execution::wants_transaction)) connection_->Send(kTakeTransaction, {});
  if (kind_ == Kind::kWrite) connection_->RequestAnswers();
  connection_->Sync();
  connection_->Flush();
}

Lane::Batch Lane::Next() {
  Batch batch;
  Callers dropped;
  Callers apart;
  size_t taken = 0;
  using Verdict = FairQueue<Execution*>::Verdict;
  const size_t most = Most();
  const auto take = [&](Execution* execution) {
    if (execution->Expire()) return dropped.push_back(execution);
    Gather(execution, &batch);
    ++taken;
  };
  const auto sort = [&](Execution* execution) {
    if (conduct_.TravelsAlone(execution->statement)) return apart.push_back(execution);
    take(execution);
  };
  while (batch.empty() && !again_.empty()) {
    std::for_each(again_.front().begin(), again_.front().end(), sort);
    again_.pop_front();
  }
  if (batch.empty()) {
    std::lock_guard lock(mutex_);
    queue_.Visit([&](Execution* execution) {
      if (batch.size() == limits_.statements || taken >= most) return Verdict::kStop;
      if (std::exchange(flow_, execution->flow) != execution->flow) changed_at_ = Clock::now();
      const size_t before = taken;
      sort(execution);
      // Who goes on in a session has his turn there.
      return taken > before ? Verdict::kTake : Verdict::kDrop;
    });
    asleep_ = batch.empty();
  }
  for (Execution* execution : apart) alone_(execution);
  for (Execution* execution : dropped) execution->done();
  return batch;
}

size_t Lane::Most() {
  const bool alone = Clock::now() - changed_at_ > kLately;
  return alone ? limits_.callers : size_.Next(limits_.callers);
}

bool Lane::Wants(const Batch& batch, bool Execution::*what) {
  return std::ranges::any_of(
      batch, [what](const Unit& unit) { return std::ranges::any_of(unit.members(), what); });
}

void Lane::OnRows(Rows rows) {
  if (std::exchange(taking_snapshot_, false)) {
    snapshot_ = Snapshot::Of(rows);
    return;
  }
  if (position_ == batch_.size()) {
    transaction_ = TransactionOf(rows);
    return;
  }
  batch_[position_].Spread(std::move(rows));
  Advance();
}

void Lane::OnError(DatabaseError error) {
  error_ = std::move(error);
  own_failed_ = std::exchange(taking_snapshot_, false) || position_ == batch_.size();
  if (own_failed_) return;
  failed_ = position_;
  Advance();
}

void Lane::OnSkipped() { Advance(); }

void Lane::Advance() {
  if (++position_ == batch_.size()) answered_at_ = Clock::now();
}

void Lane::OnSync(const DatabaseError* error) {
  if (Answered(true)) return Start();
  const Batch batch = std::exchange(batch_, {});
  if (std::exchange(own_failed_, false)) error = &error_;
  const bool ok = !failed_ && error == nullptr;
  Observe(batch, ok);
  Callers answered;
  if (ok) {
    answered = CallersOf(batch);
  } else {
    Sort(batch, failed_ ? error_ : *error, &answered);
  }
  if (!connection_->idle()) {
    std::exchange(connection_, nullptr)->Close();
    Lose({"", "the connection came out of a batch inside a transaction", "", ""});
  }
  // The database works on the next batch while this one's callers are answered.
  Start();
  for (Execution* execution : answered) execution->done();
}

void Lane::Observe(const Batch& batch, bool ok) {
  const Clock::duration time = Clock::now() - sent_at_;
  const Callers callers = CallersOf(batch);
  for (Execution* execution : callers) {
    execution->solo = callers.size() == 1;
    execution->run_time = time;
    if (execution->wants_snapshot) execution->snapshot = snapshot_;
    if (ok && execution->wants_transaction) execution->transaction = transaction_;
  }
  pace_.Observe(time / static_cast<int64_t>(callers.size()));
  size_.Observe(callers.size(), time);
  const Clock::duration own_time = answered_at_ - sent_at_;
  for (const Unit& unit : batch) {
    if (callers.size() == 1) {
      conduct_.RanAlone(unit.statement(), ok, own_time);
      continue;
    }
    if (own_time > conduct_.slow()) conduct_.Suspect(unit.statement());
    if (ok && batch.size() == 1) {
      const auto members = static_cast<int>(callers.size());
      conduct_.RanTogether(unit.statement(), members, own_time / members);
    }
    if (ok) conduct_.WentWell(unit.statement(), static_cast<int>(unit.members().size()));
  }
}

void Lane::Sort(const Batch& batch, const DatabaseError& error, Callers* answered) {
  const std::span<const Unit> units(batch);
  const bool alone = batch.size() == 1;
  // Without a culprit it was the commit that failed.
  if (!failed_ && !(alone && batch.front().members().size() == 1)) {
    return RunAgainHalved(CallersOf(units));
  }
  const size_t failed = failed_.value_or(0);
  Callers rest = CallersOf(units.subspan(failed + 1));
  if (kind_ == Kind::kRead) {
    *answered = CallersOf(units.first(failed));
  } else {
    const Callers before = CallersOf(units.first(failed));
    rest.insert(rest.begin(), before.begin(), before.end());
  }
  Judge(batch[failed], error, alone, answered);
  RunAgain(std::move(rest));
}

void Lane::Judge(const Unit& culprit, const DatabaseError& error, bool alone, Callers* answered) {
  // Another transaction holds a lock that it needs, or it takes longer than in a lane it may.
  if (error.sqlstate == "55P03" || error.sqlstate == "57014") {
    if (error.sqlstate == "57014") {
      const Clock::duration each =
          (Clock::now() - sent_at_) / static_cast<int64_t>(culprit.members().size());
      // Many that are quick were too many for one statement. To send each alone would be far more
      // work for a database that has too much already.
      if (each <= conduct_.slow()) return RunAgainHalved(CallersOf({&culprit, 1}));
      conduct_.WasCutOff(culprit.statement(), each);
    }
    for (Execution* member : culprit.members()) alone_(member);
    return;
  }
  if (culprit.members().size() > 1) return RunAgainHalved(CallersOf({&culprit, 1}));
  Execution* const caller = culprit.members().front();
  // Before the culprit of a write batch there were writes that are undone now: it fails by itself
  // or not at all, beside the lane, which goes on with the others meanwhile. Reads do not see one
  // another.
  if (!alone && kind_ == Kind::kWrite) return alone_(caller);
  if (!alone && !error.stale) conduct_.Failed(caller->statement);
  if (error.retry() == Retry::kStatement && caller->may_run_again()) return RunAgain({caller});
  caller->Fail(error);
  answered->push_back(caller);
}

void Lane::RunAgain(Callers callers) {
  if (callers.empty()) return;
  for (Execution* execution : callers) execution->rows = Rows();
  again_.push_back(std::move(callers));
}

void Lane::RunAgainHalved(const Callers& callers) {
  const auto middle = callers.begin() + static_cast<ptrdiff_t>(callers.size() / 2);
  RunAgain(Callers(callers.begin(), middle));
  RunAgain(Callers(middle, callers.end()));
}

void Lane::OnBroken(DatabaseError error) {
  Answered(false);
  connection_.reset();
  Callers answered = GiveUp(error);
  Lose(std::move(error));
  for (Execution* execution : answered) execution->done();
}

Lane::Callers Lane::GiveUp(const DatabaseError& error) {
  taking_snapshot_ = false;
  own_failed_ = false;
  Callers answered;
  for (Execution* execution : CallersOf(std::exchange(batch_, {}))) {
    if (execution->SurvivesBreak(error)) {
      RunAgain({execution});
    } else {
      answered.push_back(execution);
    }
  }
  return answered;
}

}  // namespace twi::sql

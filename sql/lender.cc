#include "sql/lender.h"

#include <algorithm>
#include <asio/post.hpp>
#include <utility>

namespace twi::sql {
namespace {

// How soon it is noticed that one who waits gives up.
constexpr std::chrono::milliseconds kLook{20};

}  // namespace

Lender::Kind Lender::Waiter::kind() const {
  return execution != nullptr && execution->statement->read_only ? kRead : kWrite;
}

bool Lender::Waiter::Expire() const {
  if (execution != nullptr) return execution->Expire();
  loan->status = Awaited(loan->deadline, loan->cancelled);
  return !loan->status.ok();
}

Clock::time_point Lender::Waiter::deadline() const {
  return execution != nullptr ? execution->deadline : loan->deadline;
}

void Lender::Waiter::Answer(const absl::Status& status) const {
  (execution != nullptr ? execution->status : loan->status) = status;
  Done();
}

void Lender::Waiter::Done() const { execution != nullptr ? execution->done() : loan->done(); }

Lender::Lender(const Options& options, asio::io_context& loop, asio::thread_pool& workers,
               Conduct& conduct, Connector& connector, std::function<void()> changed)
    : options_(options),
      loop_(loop),
      workers_(workers),
      conduct_(conduct),
      connector_(connector),
      changed_(std::move(changed)),
      pause_(loop),
      look_(loop),
      tend_(loop) {}

Lender::~Lender() = default;

void Lender::Start() {
  Keep();
  Tend();
}

void Lender::Run(Execution* execution) { Enqueue({.execution = execution}); }

bool Lender::Submit(Loan* loan) {
  {
    std::lock_guard lock(mutex_);
    const bool full = numbers_.waiting + arriving_ >= static_cast<int>(kQueueLimit);
    loan->status = refusal_.ok() && full ? TooManyWait(pace_.Wait(kQueueLimit)) : refusal_;
    if (!loan->status.ok()) return false;
    ++arriving_;
  }
  asio::post(loop_, [this, loan] {
    {
      std::lock_guard lock(mutex_);
      --arriving_;
    }
    Enqueue({.loan = loan});
  });
  return true;
}

void Lender::Enqueue(const Waiter& waiter) {
  if (waiter.Expire()) return waiter.Done();
  absl::Status refusal = Refusal(waiter.kind());
  if (refusal.ok() && TooMany(waiter.deadline())) refusal = TooManyWait(pace_.Wait(queue_.size()));
  if (!refusal.ok()) return waiter.Answer(refusal);
  if (queue_.empty()) given_at_ = Clock::now();
  queue_.push_back(waiter);
  Serve();
  Look();
}

bool Lender::TooMany(Clock::time_point deadline) const {
  const size_t before = queue_.size();
  return before >= kQueueLimit ||
         (before > static_cast<size_t>(options_.most) && pace_.TooLate(before, deadline));
}

absl::Status Lender::Refusal(Kind kind) const {
  if (!stopped_.ok()) return stopped_;
  return down_ && held_[kind] == 0 ? DatabaseUnavailable() : absl::OkStatus();
}

void Lender::Serve() {
  if (!stopped_.ok()) return;
  std::array<int, 2> coming = opening_;
  int leaving = leaving_;
  std::vector<Waiter> answered;
  for (auto next = queue_.begin(); next != queue_.end();) {
    const Waiter waiter = *next;
    const Kind kind = waiter.kind();
    const auto free = FindFree(kind);
    const bool expired = waiter.Expire();
    if (expired || free != places_.end()) {
      next = queue_.erase(next);
      if (!expired) Give(free, waiter);
      if (expired || waiter.loan != nullptr) answered.push_back(waiter);
      continue;
    }
    ++next;
    // It has to wait: for a connection that is under way, or for room to open one.
    if (coming[kind] > 0) {
      --coming[kind];
    } else if (pausing_) {
      continue;
    } else if (!Full()) {
      Open(kind);
    } else if (leaving > 0) {
      --leaving;
    } else if (const auto other = FindFree(kind == kRead ? kWrite : kRead);
               other != places_.end()) {
      Close(other, &Numbers::closed_room);
    } else {
      // No session is free, so those behind it can only wait, too.
      break;
    }
  }
  Keep();
  Count();
  for (const Waiter& waiter : answered) waiter.Done();
}

void Lender::Give(Places::iterator place, const Waiter& waiter) {
  const auto now = Clock::now();
  pace_.Observe(now - std::exchange(given_at_, now));
  if (waiter.loan == nullptr) {
    SetState(place, State::kBusy);
    place->session->Run(waiter.execution,
                        [this, place, execution = waiter.execution](const Session::Ending& ending) {
                          Settle(place, execution, ending);
                        });
    return;
  }
  SetState(place, State::kLent);
  place->lent = std::make_shared<Lent>();
  place->lent->lender = this;
  place->lent->session = place->session;
  waiter.loan->lease = Lease(place->lent);
}

Lender::Places::iterator Lender::FindFree(Kind kind) {
  return std::ranges::find_if(places_, [kind](const Place& place) {
    return place.state == State::kFree && place.kind == kind;
  });
}

Lender::Places::iterator Lender::Find(const Session* session) {
  return std::ranges::find_if(
      places_, [session](const Place& place) { return place.session.get() == session; });
}

bool Lender::Full() const {
  return static_cast<int>(places_.size()) + opening_[kRead] + opening_[kWrite] + leaving_ >=
         options_.most;
}

void Lender::Keep() {
  const auto count = [this](Kind kind) { return held_[kind] + opening_[kind]; };
  while (!pausing_ && !Full() && count(kRead) + count(kWrite) < options_.least) {
    Open(count(kRead) < count(kWrite) ? kRead : kWrite);
  }
}

void Lender::Open(Kind kind) {
  ++opening_[kind];
  ConnectionOptions options = options_.connection;
  options.read_only = kind == kRead;
  connector_.Open(options, [this, kind](absl::StatusOr<std::shared_ptr<Connection>> connection) {
    Opened(kind, std::move(connection));
  });
}

void Lender::Opened(Kind kind, absl::StatusOr<std::shared_ptr<Connection>> connection) {
  --opening_[kind];
  if (!stopped_.ok()) {
    if (connection.ok()) (*connection)->Close();
    return;
  }
  down_ = !connection.ok();
  if (down_) {
    Pause();
    Drop();
    return Serve();
  }
  backoff_.Reset();
  Session::Owner* const owner = this;
  places_.emplace_front(std::make_shared<Session>(*std::move(connection), loop_, workers_, owner),
                        kind);
  ++held_[kind];
  Free(places_.begin());
  changed_();
}

void Lender::Pause() {
  if (std::exchange(pausing_, true)) return;
  pause_.expires_after(backoff_.Next());
  pause_.async_wait([this](const std::error_code& error) {
    pausing_ = false;
    if (!error) Serve();
  });
}

void Lender::Settle(Places::iterator place, Execution* execution, const Session::Ending& ending) {
  // Without its connection the place is gone.
  if (!ending.broken) {
    if (place->session->transaction() != Session::Transaction::kNone) {
      Close(place, &Numbers::closed_reset);
    } else if (place->session->ready()) {
      Free(place);
    }
  }
  if (ending.error != nullptr) {
    const DatabaseError& error = *ending.error;
    // A cancel that is not ours is an operator's against the connection, not against the caller.
    const bool passing = error.retry() == Retry::kStatement || error.sqlstate == "57014";
    if (ending.cancelled && error.sqlstate == "57014") {
      execution->Expire();
    } else if (ending.broken ? execution->SurvivesBreak(error)
                             : passing && execution->may_run_again()) {
      return Run(execution);
    } else if (!ending.broken) {
      execution->Fail(error);
    }
  }
  if (!ending.broken) {
    conduct_.RanAlone(execution->statement, ending.error == nullptr, execution->own_time);
  }
  execution->done();
}

void Lender::OnReady(Session* session) {
  const auto place = Find(session);
  // Otherwise it is its caller's, who may run the next statement.
  if (place->state == State::kBusy) Free(place);
}

void Lender::OnLost(Session* session, const DatabaseError& error) {
  const auto place = Find(session);
  if (place->lent) {
    place->lent->loss = error;
    place->lent->session.reset();
  }
  Erase(place);
  if (!stopped_.ok()) return;
  {
    std::lock_guard lock(mutex_);
    ++numbers_.broken;
  }
  changed_();
  Drop();
  Serve();
}

void Lender::Free(Places::iterator place) {
  if (place->session->worn()) {
    Close(place, &Numbers::closed_lifetime);
  } else {
    SetState(place, State::kFree);
    place->free_since = Clock::now();
    places_.splice(places_.begin(), places_, place);
  }
  Serve();
}

void Lender::Close(Places::iterator place, int64_t Numbers::*reason) {
  {
    std::lock_guard lock(mutex_);
    ++(numbers_.*reason);
  }
  ++leaving_;
  place->session->Leave([this] {
    --leaving_;
    Serve();
  });
  Erase(place);
}

void Lender::Erase(Places::iterator place) {
  SetState(place, State::kFree);
  --held_[place->kind];
  places_.erase(place);
  Count();
}

void Lender::SetState(Places::iterator place, State state) {
  std::lock_guard lock(mutex_);
  numbers_.busy += (state != State::kFree) - (place->state != State::kFree);
  place->state = state;
}

void Lender::Look() {
  if (queue_.empty() || std::exchange(looking_, true)) return;
  look_.expires_after(kLook);
  look_.async_wait([this](const std::error_code& error) {
    looking_ = false;
    if (error) return;
    std::list<Waiter> expired;
    for (auto next = queue_.begin(); next != queue_.end();) {
      const auto waiter = next++;
      if (waiter->Expire()) expired.splice(expired.end(), queue_, waiter);
    }
    Count();
    for (const Waiter& waiter : expired) waiter.Done();
    Look();
  });
}

void Lender::Tend() {
  const Clock::duration lifetime = absl::ToChronoNanoseconds(options_.connection.lifetime);
  tend_.expires_after(
      std::min<Clock::duration>({std::chrono::seconds(1), options_.idle / 4, lifetime / 4}));
  tend_.async_wait([this](const std::error_code& error) {
    if (error || !stopped_.ok()) return;
    // The longest free first.
    for (auto next = places_.end(); next != places_.begin();) {
      const auto place = --next;
      if (place->state != State::kFree) continue;
      const bool worn = place->session->worn();
      const bool idle = Clock::now() - place->free_since >= options_.idle &&
                        static_cast<int>(places_.size()) > options_.least;
      if (!worn && !idle) continue;
      ++next;
      Close(place, worn ? &Numbers::closed_lifetime : &Numbers::closed_idle);
    }
    Serve();
    Tend();
  });
}

void Lender::Drop() {
  std::list<Waiter> dropped;
  for (auto next = queue_.begin(); next != queue_.end();) {
    const auto waiter = next++;
    if (!Refusal(waiter->kind()).ok()) dropped.splice(dropped.end(), queue_, waiter);
  }
  Count();
  for (const Waiter& waiter : dropped) waiter.Answer(Refusal(waiter.kind()));
}

void Lender::Count() {
  std::lock_guard lock(mutex_);
  numbers_.connections = static_cast<int>(places_.size());
  numbers_.waiting = static_cast<int>(queue_.size());
  refusal_ = Refusal(kWrite);
}

Lender::Numbers Lender::numbers() const {
  std::lock_guard lock(mutex_);
  return numbers_;
}

void Lender::Stop(const absl::Status& status) {
  stopped_ = status;
  for (Place& place : places_) {
    if (!place.lent) continue;
    std::lock_guard lock(place.lent->mutex);
    place.lent->lender = nullptr;
  }
  Drop();
  for (asio::steady_timer* timer : {&pause_, &look_, &tend_}) timer->cancel();
  while (!places_.empty()) {
    const std::shared_ptr<Session> session = places_.front().session;
    session->Break();
  }
}

}  // namespace twi::sql

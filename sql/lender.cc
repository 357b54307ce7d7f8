#include "sql/lender.h"

#include <algorithm>
#include <asio/post.hpp>
#include <utility>

namespace twi::sql {
namespace {

// How soon it is noticed that one who waits gives up.
constexpr std::chrono::milliseconds kLook{20};

/// The mean of the last, of which there may be none, with one more.
Clock::duration Mean(Clock::duration before, Clock::duration held) {
  constexpr int kShare = 8;
  const bool first = before == Clock::duration::zero();
  const Clock::duration after = first ? held : before + (held - before) / kShare;
  return std::max<Clock::duration>(after, std::chrono::microseconds(1));
}

}  // namespace

Lender::Lender(const Options& options, asio::io_context& loop, asio::thread_pool& workers,
               Conduct& conduct, Connector& connector, std::function<void()> changed)
    : options_(options),
      loop_(loop),
      workers_(workers),
      conduct_(conduct),
      connector_(connector),
      changed_(std::move(changed)),
      pace_(options.max_wait),
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
    const auto waiting = static_cast<size_t>(numbers_.waiting);
    const bool full =
        waiting >= kQueueLimit || !arriving_.HasRoom(loan->flow, kQueueLimit - waiting);
    loan->status = refusal_.ok() && full ? TooManyWait(pace_.Wait(kQueueLimit)) : refusal_;
    if (!loan->status.ok()) return false;
    arriving_.Push(loan->flow, loan);
  }
  asio::post(loop_, [this] {
    Waiter waiter;
    {
      std::lock_guard lock(mutex_);
      waiter.loan = arriving_.Pop();
    }
    Enqueue(waiter);
  });
  return true;
}

void Lender::Enqueue(const Waiter& waiter) {
  if (waiter.Expire()) return waiter.Done();
  const Flow* const flow = waiter.flow();
  const std::chrono::duration<double> cost = Expected(flow);
  const size_t before = queue_.Before(flow, cost / held_);
  const bool late =
      before > static_cast<size_t>(options_.most) && pace_.TooLate(before, waiter.deadline());
  absl::Status refusal = Refusal(KindOf(waiter));
  if (refusal.ok() && (late || !queue_.HasRoom(flow, kQueueLimit))) {
    refusal = TooManyWait(pace_.Wait(before));
    if (flow != nullptr && waiter.execution != nullptr && pace_.TooLong(before)) {
      flow->refused.Set(waiter.execution->statement, refusal);
    }
  }
  if (!refusal.ok()) return waiter.Answer(refusal);
  if (queue_.empty()) given_at_ = Clock::now();
  queue_.Push(flow, waiter, cost.count());
  Serve();
  Look();
}

Clock::duration Lender::Expected(const Flow* flow) const {
  const Clock::duration held = Known(flow).held.load(std::memory_order_relaxed);
  return held == Clock::duration::zero() ? held_ : held;
}

void Lender::Observe(const Flow* flow, Clock::duration held) {
  const Flow& known = Known(flow);
  known.held.store(Mean(known.held.load(std::memory_order_relaxed), held),
                   std::memory_order_relaxed);
  held_ = Mean(held_, held);
}

absl::Status Lender::Refusal(Kind kind) const {
  if (!stopped_.ok()) return stopped_;
  return down_ && sessions_[kind] == 0 ? DatabaseUnavailable() : absl::OkStatus();
}

void Lender::Serve() {
  if (!stopped_.ok()) return;
  std::array<int, 2> coming = opening_;
  int leaving = leaving_;
  std::vector<Waiter> answered;
  using Verdict = FairQueue<Waiter>::Verdict;
  queue_.Visit([&](const Waiter& waiter) {
    if (waiter.Expire()) {
      answered.push_back(waiter);
      return Verdict::kDrop;
    }
    const Kind kind = KindOf(waiter);
    if (const auto free = FindFree(kind); free != places_.end()) {
      Give(free, waiter);
      if (waiter.loan != nullptr) answered.push_back(waiter);
      return Verdict::kTake;
    }
    // It has to wait: for a connection that is under way, or for room to open one.
    if (coming[kind] > 0) {
      --coming[kind];
    } else if (pausing_) {
      return Verdict::kKeep;
    } else if (!Full()) {
      Open(kind);
    } else if (leaving > 0) {
      --leaving;
    } else if (const auto other = FindFree(kind == kRead ? kWrite : kRead);
               other != places_.end()) {
      Close(other, &Numbers::closed_room);
    } else {
      // No session is free, so those behind it can only wait, too.
      return Verdict::kStop;
    }
    return Verdict::kKeep;
  });
  Keep();
  Count();
  for (const Waiter& waiter : answered) waiter.Done();
}

void Lender::Give(Places::iterator place, const Waiter& waiter) {
  const auto now = Clock::now();
  pace_.Observe(now - std::exchange(given_at_, now));
  place->flow = waiter.flow();
  place->given_at = now;
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
  const auto count = [this](Kind kind) { return sessions_[kind] + opening_[kind]; };
  while (!pausing_ && !Full() && count(kRead) + count(kWrite) < options_.least) {
    Open(count(kRead) < count(kWrite) ? kRead : kWrite);
  }
}

void Lender::Open(Kind kind, std::shared_ptr<Validating> validating) {
  ++opening_[kind];
  ConnectionOptions options = options_.connection;
  options.read_only = kind == kRead;
  connector_.Open(options, [this, kind, begun = Clock::now(), validating = std::move(validating)](
                               absl::StatusOr<std::shared_ptr<Connection>> connection) {
    if (validating != nullptr && connection.ok()) validating->Replaced();
    Opened(kind, begun, std::move(connection));
  });
}

void Lender::Reached() {
  reached_at_ = Clock::now();
  down_ = false;
  backoff_.Reset();
  pause_.cancel();
  Count();
}

void Lender::Opened(Kind kind, Clock::time_point begun,
                    absl::StatusOr<std::shared_ptr<Connection>> connection) {
  --opening_[kind];
  if (!stopped_.ok()) {
    if (connection.ok()) (*connection)->Close();
    return;
  }
  if (!connection.ok()) {
    // One that began before another was opened says nothing of how it is now.
    down_ = begun > reached_at_;
    Pause();
    Drop();
    return Serve();
  }
  reached_at_ = Clock::now();
  down_ = false;
  backoff_.Reset();
  Session::Owner* const owner = this;
  places_.emplace_front(std::make_shared<Session>(*std::move(connection), loop_, workers_, owner),
                        kind);
  ++sessions_[kind];
  Free(places_.begin());
  changed_();
}

void Lender::Pause() {
  if (std::exchange(pausing_, true)) return;
  pause_.expires_after(backoff_.Next());
  // Cut short, it is over, too.
  pause_.async_wait([this](const std::error_code&) {
    pausing_ = false;
    Serve();
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
  const Kind kind = place->kind;
  const std::shared_ptr<Validating> validating = place->validating;
  Erase(place);
  if (!stopped_.ok()) return;
  if (validating != nullptr) Open(kind, validating);
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
  --sessions_[place->kind];
  places_.erase(place);
  Count();
}

void Lender::SetState(Places::iterator place, State state) {
  if (place->state != State::kFree && place->given_at) {
    Observe(place->flow, Clock::now() - *std::exchange(place->given_at, std::nullopt));
  }
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
    const auto expired = queue_.RemoveIf([](const Waiter& waiter) { return waiter.Expire(); });
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
  const auto dropped =
      queue_.RemoveIf([this](const Waiter& waiter) { return !Refusal(KindOf(waiter)).ok(); });
  Count();
  for (const Waiter& waiter : dropped) waiter.Answer(Refusal(KindOf(waiter)));
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

#include "sql/copy.h"

#include <asio/post.hpp>
#include <utility>

#include "sql/copying.h"
#include "sql/lease.h"
#include "sql/lender.h"

namespace twi::sql {

// The caller's side, on any thread; see Lease.

Copy::Copy(const Lease& lease, CopyOptions options, bool in)
    : lent_(lease.lent_), copying_(std::make_shared<Copying>(std::move(options), in)) {}

Copy::~Copy() {
  if (!copying_->Drop()) return;
  std::lock_guard lock(lent_->mutex);
  if (lent_->lender == nullptr) return;
  asio::post(lent_->lender->loop_, [lent = lent_, copying = copying_] {
    if (lent->lender != nullptr) lent->lender->Drop(lent.get(), copying.get());
  });
}

bool Copy::StartBegin(std::string_view, Done done) {
  std::lock_guard lock(lent_->mutex);
  if (lent_->lender == nullptr) {
    if (!over()) copying_->Over({.status = ShuttingDown(), .broken = true});
    return false;
  }
  if (!copying_->Begin(std::move(done))) return false;
  asio::post(lent_->lender->loop_, [lent = lent_, copying = copying_] {
    if (lent->lender != nullptr) return lent->lender->RunLent(lent.get(), copying);
    copying->Over({.status = ShuttingDown(), .broken = true});
  });
  return true;
}

bool Copy::StartPut(std::string_view bytes, Done done) {
  bool wake = false;
  const bool waits = copying_->Put(bytes, std::move(done), &wake);
  if (wake) Wake();
  return waits;
}

bool Copy::StartNext(std::string_view, Done done) {
  if (!copying_->Next(std::move(done))) return false;
  Wake();
  return true;
}

bool Copy::StartEnd(std::string_view, Done done) {
  bool wake = false;
  const bool waits = copying_->End(std::move(done), &wake);
  if (wake) Wake();
  return waits;
}

bool Copy::StartAbort(std::string_view reason, Done done) {
  if (!copying_->Abort(reason, std::move(done))) return false;
  Wake();
  return true;
}

absl::StatusOr<std::string> Copy::Taken() { return copying_->Taken(); }

absl::Status Copy::status() const { return over() ? outcome().status : absl::OkStatus(); }

absl::Status Copy::aborted() const {
  const CopyOutcome outcome = this->outcome();
  return outcome.broken ? outcome.status : absl::OkStatus();
}

bool Copy::over() const { return copying_->outcome().has_value(); }

CopyOutcome Copy::outcome() const { return copying_->outcome().value_or(CopyOutcome()); }

void Copy::Wake() {
  std::lock_guard lock(lent_->mutex);
  // A lender that stops ends all copies that have begun.
  if (lent_->lender == nullptr) return;
  asio::post(lent_->lender->loop_, [lent = lent_, copying = copying_] {
    if (lent->session != nullptr) lent->session->Move(copying.get());
  });
}

// The lender's side, on the loop's thread.

void Lender::RunLent(Lent* lent, const std::shared_ptr<Copying>& copying) {
  CopyOutcome refused;
  if (lent->session == nullptr) {
    refused = {.status = lent->loss.ToStatus(),
               .sqlstate = lent->loss.sqlstate,
               .database_message = lent->loss.message,
               .broken = true};
  } else {
    refused.status = copying->Awaited();
  }
  if (!refused.status.ok()) return copying->Over(std::move(refused));
  lent->session->Run(copying, [this, copying](const Session::Ending& ending) {
    copying->Over(OutcomeOf(*copying, ending));
  });
}

CopyOutcome Lender::OutcomeOf(const Copying& copying, const Session::Ending& ending) const {
  CopyOutcome outcome{.broken = ending.broken};
  if (ending.error == nullptr) {
    if (!ending.sent) outcome.status = copying.Awaited();
    outcome.rows = copying.rows;
    return outcome;
  }
  const DatabaseError& error = *ending.error;
  outcome.status = error.ToStatusOfRaw();
  outcome.sqlstate = error.sqlstate;
  outcome.database_message = error.message;
  // Inside a transaction nothing is done before its commit.
  const bool decides = ending.began == Session::Transaction::kNone &&
                       (copying.statement().in ? copying.end_sent : copying.statement().writes);
  if (ending.cancelled && error.sqlstate == "57014") {
    outcome.status = copying.Awaited();
  } else if (ending.broken && ending.sent && decides) {
    outcome.status = OutcomeUnknown();
  } else if (ending.broken && !stopped_.ok()) {
    outcome.status = stopped_;
  }
  return outcome;
}

void Lender::Drop(Lent* lent, const Copying* copying) {
  if (lent->session == nullptr || lent->session->copying() != copying) return;
  lent->loss = {"", "a copy was dropped", "", ""};
  const std::shared_ptr<Session> session = std::exchange(lent->session, nullptr);
  const auto place = Find(session.get());
  place->lent.reset();
  Close(place, &Numbers::closed_reset);
  Serve();
}

}  // namespace twi::sql

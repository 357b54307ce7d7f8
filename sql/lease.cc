#include "sql/lease.h"

#include <asio/post.hpp>

#include "sql/lender.h"

namespace twi::sql {

// The caller's side, on any thread. While the lender's pointer is there, under the lock, its loop
// takes what is posted.

bool Lease::Submit(Execution* execution) {
  std::lock_guard lock(lent_->mutex);
  if (lent_->lender == nullptr) {
    execution->status = ShuttingDown();
    return false;
  }
  asio::post(lent_->lender->loop_, [lent = lent_, execution] {
    if (lent->lender != nullptr) return lent->lender->RunLent(lent.get(), execution);
    execution->status = ShuttingDown();
    execution->done();
  });
  return true;
}

Lease::~Lease() {
  if (lent_ == nullptr) return;
  std::lock_guard lock(lent_->mutex);
  if (lent_->lender == nullptr) return;
  asio::post(lent_->lender->loop_, [lent = lent_] {
    if (lent->lender != nullptr) lent->lender->TakeBack(lent.get());
  });
}

// The lender's side, on the loop's thread.

void Lender::RunLent(Lent* lent, Execution* execution) {
  if (lent->session == nullptr) {
    execution->Fail(lent->loss);
    return execution->done();
  }
  if (execution->Expire()) return execution->done();
  lent->session->Run(
      execution, [this, execution](const Session::Ending& ending) { Answer(execution, ending); });
}

void Lender::Answer(Execution* execution, const Session::Ending& ending) const {
  if (ending.error != nullptr) {
    const DatabaseError& error = *ending.error;
    const Statement* statement = execution->statement;
    // Inside a transaction nothing is done before its commit.
    const bool decides = ending.began == Session::Transaction::kNone
                             ? !statement->read_only
                             : statement == &kCommit && ending.began == Session::Transaction::kOpen;
    execution->Fail(error);
    if (ending.too_large && error.sqlstate == "57014") {
      execution->status = ResultTooLarge();
    } else if (ending.cancelled && error.sqlstate == "57014") {
      execution->Expire();
    } else if (ending.broken && ending.sent && decides) {
      execution->FailUnknown(error);
    } else if (ending.broken && !stopped_.ok()) {
      execution->status = stopped_;
    } else if (error.stale) {
      execution->status = Error(absl::StatusCode::kAborted, "SERIALIZATION_FAILURE",
                                "the schema has just changed; try again");
    }
  }
  execution->done();
}

void Lender::TakeBack(Lent* lent) {
  const std::shared_ptr<Session> session = std::exchange(lent->session, nullptr);
  if (session == nullptr) return;
  const auto place = Find(session.get());
  place->lent.reset();
  if (session->copying() != nullptr || session->transaction() != Session::Transaction::kNone) {
    Close(place, &Numbers::closed_reset);
    return Serve();
  }
  SetState(place, State::kBusy);
  session->Reset([this, place](const Session::Ending& ending) {
    if (ending.broken) return;
    if (ending.error == nullptr) return Free(place);
    Close(place, &Numbers::closed_reset);
    Serve();
  });
}

}  // namespace twi::sql

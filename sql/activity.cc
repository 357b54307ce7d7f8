#include "sql/activity.h"

#include "sql/lane.h"
#include "sql/lender.h"
#include "sql/session.h"

// What lanes and sessions tell of themselves, on the loop's thread: there what they run stays as it
// is.
namespace twi::sql {
namespace {

RunningStatement Running(const Statement& statement, size_t callers = 1) {
  return {.operation = statement.raw ? "" : statement.name,
          .fingerprint = statement.fingerprint,
          .callers = static_cast<int>(callers)};
}

}  // namespace

ConnectionActivity Lane::activity() const {
  ConnectionActivity told{.kind = kind_ == Kind::kRead ? ConnectionActivity::Kind::kReadLane
                                                       : ConnectionActivity::Kind::kWriteLane,
                          .waiting = waiting()};
  if (connection_ == nullptr) {
    told.state = ConnectionActivity::State::kClosed;
  } else if (!batch_.empty()) {
    told.state = ConnectionActivity::State::kRunning;
    told.lasts = Clock::now() - sent_at_;
  }
  for (const Unit& unit : batch_) {
    told.statements.push_back(Running(*unit.statement(), unit.members().size()));
  }
  return told;
}

void Session::Tell(ConnectionActivity* told) const {
  if (!running() || !sent_) return;
  told->state = ConnectionActivity::State::kRunning;
  told->lasts = Clock::now() - sent_at_;
  if (execution_ != nullptr) told->statements.push_back(Running(*execution_->statement));
  if (copying_ != nullptr) told->statements.push_back({.operation = "COPY", .fingerprint = {}});
}

std::vector<ConnectionActivity> Lender::activity() const {
  std::vector<ConnectionActivity> all;
  for (const Place& place : places_) {
    ConnectionActivity& told = all.emplace_back(
        ConnectionActivity{.kind = place.kind == kRead ? ConnectionActivity::Kind::kReadSession
                                                       : ConnectionActivity::Kind::kSession});
    if (place.state == State::kLent) {
      told.state = ConnectionActivity::State::kLent;
      if (place.given_at) told.lasts = Clock::now() - *place.given_at;
    }
    place.session->Tell(&told);
  }
  return all;
}

}  // namespace twi::sql

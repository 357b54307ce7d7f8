#include "sql/validation.h"

#include <vector>

#include "sql/lane.h"
#include "sql/lender.h"

namespace twi::sql {
namespace {

const Statement kAsk = {"twi_data_ask", "select"};

/// A question to a session, and until when it is answered.
struct Question {
  explicit Question(asio::io_context& loop) : timer(loop) { execution.statement = &kAsk; }
  Execution execution;
  asio::steady_timer timer;
};

}  // namespace

void Lender::Validate(const std::shared_ptr<Validating>& validating) {
  std::vector<Places::iterator> free;
  for (auto place = places_.begin(); place != places_.end(); ++place) {
    if (place->state == State::kFree) free.push_back(place);
  }
  for (const auto place : free) Ask(place, validating);
}

void Lender::Ask(Places::iterator place, const std::shared_ptr<Validating>& validating) {
  const auto question = std::make_shared<Question>(loop_);
  question->timer.expires_after(validating->patience());
  // With its answer the question is gone, and the session is somebody else's.
  question->timer.async_wait([session = std::weak_ptr(place->session),
                              asked = std::weak_ptr(question)](const std::error_code& error) {
    if (!error && !asked.expired()) session.lock()->Break();
  });
  place->validating = validating;
  SetState(place, State::kBusy);
  place->session->Run(&question->execution,
                      [this, place, question, validating](const Session::Ending& ending) {
                        validating->Checked(!ending.broken);
                        if (ending.broken) return;  // And the place is gone.
                        place->validating = nullptr;
                        Free(place);
                      });
}

void Lane::Ask(const std::shared_ptr<Validating>& validating) {
  if (connection_ == nullptr || !batch_.empty() || asked_ != nullptr) return;
  asked_ = validating;
  busy_ = true;
  connection_->Sync();
  connection_->Flush();
  patience_.expires_after(validating->patience());
  patience_.async_wait([this, validating](const std::error_code& error) {
    if (error || asked_ != validating || connection_ == nullptr) return;
    connection_->Close();
    OnBroken({"", "it gave no answer", "", ""});
  });
}

bool Lane::Answered(bool alive) {
  if (asked_ == nullptr) return false;
  patience_.cancel();
  asked_->Checked(alive);
  if (!alive) restored_ = asked_;
  asked_ = nullptr;
  return true;
}

}  // namespace twi::sql

#include "sql/follower.h"

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "sql/connector.h"
#include "sql/outbox.h"
#include "sql/replication.h"

namespace twi::sql {
namespace {

// Where nothing allows to follow changes somebody has to do something first.
constexpr std::chrono::milliseconds kRefused{2000};

}  // namespace

Follower::Follower(Options options, ChangeListener* listener)
    : options_(std::move(options)), listener_(listener), thread_([this] { Run(); }) {}

Follower::~Follower() {
  bell_.Stop();
  thread_.join();
}

absl::StatusOr<std::unique_ptr<Feed>> Follower::Open() {
  std::vector<std::unique_ptr<Feed>> ways;
  if (options_.only != ChangesFrom::kOutbox) {
    ways.push_back(std::make_unique<Replication>(options_.dsn, listener_, &bell_));
  }
  if (options_.only != ChangesFrom::kStream) {
    ways.push_back(std::make_unique<Outbox>(options_.dsn, listener_, &bell_));
  }
  std::vector<std::string> refusals;
  for (std::unique_ptr<Feed>& way : ways) {
    absl::Status status = way->Open();
    if (status.ok()) {
      Choose(way->from(), absl::StrJoin(refusals, "; "));
      return std::move(way);
    }
    if (!absl::IsFailedPrecondition(status)) return status;
    refusals.push_back(
        absl::StrCat(NameOf(way->from()), ": ", absl::StripSuffix(status.message(), "\n")));
  }
  Choose(ChangesFrom::kNone, absl::StrJoin(refusals, "; "));
  return absl::FailedPreconditionError(absl::StrJoin(refusals, "; "));
}

void Follower::Choose(ChangesFrom from, const std::string& why) {
  std::string chosen = absl::StrCat(NameOf(from), " ", why);
  if (chosen == std::exchange(chosen_, chosen)) return;
  options_.chosen(from, why);
}

void Follower::Run() {
  Backoff backoff;
  while (!bell_.stopping()) {
    absl::Status status;
    bool refused = false;
    {
      auto feed = Open();
      status = feed.status();
      refused = absl::IsFailedPrecondition(status);
      if (feed.ok()) {
        backoff.Reset();
        status = (*feed)->Follow();
      }
      // Before its connections are closed, which may take time.
      listener_->OnClosed();
    }
    if (bell_.stopping()) return;
    if (refused) {
      bell_.Pause(kRefused);
      continue;
    }
    options_.log("the changes of the database are lost", std::string(status.message()));
    bell_.Pause(backoff.Next());
  }
}

}  // namespace twi::sql

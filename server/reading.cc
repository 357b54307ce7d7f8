#include "server/reading.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/method.h"
#include "server/metrics.h"
#include "server/settle.h"
#include "server/wait.h"
#include "server/wire.h"
#include "sql/errors.h"

namespace twi::server {
namespace {

// Flights that a read waits for in vain before it runs its statement itself.
constexpr int kMostJoins = 2;

/// INVALID_ARGUMENT when the caller says wrongly what he wishes.
absl::StatusOr<Caching::Wish> WishOf(const Call& call) {
  Caching::Wish wish;
  wish.arrived = sql::BootClock::now();
  const std::optional<std::string_view> said = call.metadata(kFreshness);
  if (!said) return wish;
  wish.asked = true;
  auto freshness = Freshness::Parse(*said);
  if (!freshness.ok()) return freshness.status();
  wish.freshness = *freshness;
  return wish;
}

CacheResult HitOf(const Caching::Wish& wish) {
  return wish.freshness.mode == Freshness::Mode::kStale ? CacheResult::kStale : CacheResult::kHit;
}

/// Tells the caller and the metrics where an answer came from.
void Tell(Call& call, CacheResult result) {
  call.AddTrailer("x-cache", NameOf(result));
  call.set_from(NameOf(result));
  call.method()->operation_metrics->Read(result);
}

/// Gives a kept answer, and says how the caller came to it.
absl::Status Give(Call& call, Caching& caching, const Caching::Entry& entry, CacheResult how) {
  caching.cache().Count(cache::Event::kHit);
  const auto age = sql::BootClock::now() - entry.began;
  Tell(call, how);
  call.AddTrailer("x-age-ms", absl::StrCat(age / std::chrono::milliseconds(1)));
  if (entry.answer.status.ok()) call.response() = Buffer(entry.answer.bytes);
  return entry.answer.status;
}

/// Asks the database, and keeps what comes of it.
Task<absl::Status> Fill(Call& call, Caching& caching, const Question& question, Asking ask,
                        const Caching::Wish& wish) {
  const bool useful = caching.Useful(wish);
  if (useful) {
    caching.cache().Count(cache::Event::kMiss);
    Tell(call, caching.cache().Holds(question.key()) ? CacheResult::kTooOld : CacheResult::kAbsent);
  } else {
    const bool asked = wish.freshness.mode == Freshness::Mode::kBypass;
    Tell(call, asked ? CacheResult::kBypassed : CacheResult::kUntold);
  }
  Caching::Fill fill = caching.Begin(
      question.statement(),
      [&question](int placeholder, bool number) { return question.TextOf(placeholder, number); });
  Operations::Footprint footprint;
  std::string response;
  Task<absl::Status> asking = ask(&response, useful ? &footprint : nullptr);
  absl::Status status = co_await asking;
  const cache::Answer answer{status, std::make_shared<const std::string>(std::move(response))};
  if (status.ok()) call.response() = Buffer(answer.bytes);
  if (useful && (status.ok() || sql::Reason(status) == "ROW_NOT_FOUND")) {
    caching.Keep(std::move(fill), question.key(), question.ttl(), wish, answer, footprint.snapshot);
  }
  co_return status;
}

}  // namespace

std::optional<absl::Status> AnswerKept(Call& call, Caching& caching, const cache::Key& key) {
  const absl::StatusOr<Caching::Wish> wish = WishOf(call);
  // What others did until now has to be learned first.
  if (!wish.ok() || wish->freshness.mode == Freshness::Mode::kStrict) return std::nullopt;
  const auto entry = caching.Find(key, *wish);
  if (entry == nullptr || (wish->asked && !caching.Covers(*entry))) return std::nullopt;
  if (wish->asked) AddToken(call, caching);
  return Give(call, caching, *entry, HitOf(*wish));
}

Task<absl::Status> Answer(Call& call, Caching& caching, const Question& question, Asking ask) {
  const absl::StatusOr<Caching::Wish> wish = WishOf(call);
  if (!wish.ok()) co_return wish.status();
  const cache::Key key = question.key();
  const bool useful = caching.Useful(*wish);
  absl::Status status;

  std::shared_ptr<const Caching::Entry> entry;
  if (useful && caching.MustAsk(*wish)) {
    Wait current(call,
                 [&](Wait::Done done) { caching.AwaitCurrent(wish->arrived, std::move(done)); });
    co_await current;
  }
  if (useful) entry = caching.Find(key, *wish);
  // Join the flight. What its leader keeps is held to what this call asks for, too.
  CacheResult how = HitOf(*wish);
  cache::Flights::Role role = cache::Flights::Role::kAlone;
  const int joins = useful && question.may_join() ? kMostJoins : 0;
  for (int i = 0; entry == nullptr && i < joins; ++i) {
    Wait flight(call, [&](Wait::Done done) {
      role = caching.flights().Join(key, done);
      if (role != cache::Flights::Role::kWaits) done();
    });
    co_await flight;
    if (role != cache::Flights::Role::kWaits) break;
    role = cache::Flights::Role::kAlone;
    how = CacheResult::kJoin;
    entry = caching.Find(key, *wish);
  }
  if (entry != nullptr) {
    status = Give(call, caching, *entry, how);
  } else {
    const absl::Cleanup landing = [&] {
      if (role == cache::Flights::Role::kLeads) caching.flights().End(key);
    };
    Task<absl::Status> filling = Fill(call, caching, question, ask, *wish);
    status = co_await filling;
  }
  if (wish->asked) {
    Task<absl::Status> settling = Settle(call, caching, std::nullopt, std::move(status));
    status = co_await settling;
  }
  co_return status;
}

}  // namespace twi::server

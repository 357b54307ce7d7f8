#include "server/caching.h"

#include <utility>

#include "server/reliance.h"
#include "sql/follower.h"

namespace twi::server {

using repositories::Operation;
using sql::BootClock;

namespace {

constexpr std::chrono::milliseconds kTick{100};

}  // namespace

Caching::Caching(Options options, const repositories::Catalog& catalog)
    : options_(std::move(options)), cache_(options_.cache, &coherence_) {
  for (const auto& operation : catalog.operations()) {
    if (operation->ttl() > absl::ZeroDuration()) operations_.push_back(operation.get());
  }
  thread_ = std::thread([this] { Tend(); });
}

Caching::~Caching() {
  coherence_.SetSource(nullptr);
  source_.reset();
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Caching::Follow() {
  coherence_.OnNewGeneration([this] { changed_.notify_all(); });
  {
    std::lock_guard lock(mutex_);
    following_ = true;
  }
  source_ = options_.source
                ? options_.source(&coherence_)
                : std::make_unique<sql::Follower>(sql::Follower::Options{.dsn = options_.dsn,
                                                                         .only = options_.only,
                                                                         .log = options_.log,
                                                                         .chosen = options_.chosen},
                                                  &coherence_);
  coherence_.SetSource(source_.get());
}

void Caching::Tend() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const uint64_t generation = coherence_.generation();
    // While nothing is told, the database may be away, and nothing found would be of use.
    const bool unknown = following_ && coherence_.open() && found_for_ != generation;
    if (unknown && FindDependencies(lock, generation)) continue;
    // Notified without the lock: looks again now and then.
    changed_.wait_for(lock, kTick);
    lock.unlock();
    cache_.Sweep();
    lock.lock();
  }
}

bool Caching::FindDependencies(std::unique_lock<std::mutex>& lock, uint64_t generation) {
  std::vector<std::string> statements;
  for (const Operation* operation : operations_) {
    statements.emplace_back(operation->statement().text);
  }
  lock.unlock();
  // Of this generation or a later one, for which there will be another look.
  const sql::ChangesFrom from = coherence_.from();
  auto all = sql::FindDependencies(options_.dsn, statements, from);
  lock.lock();
  // A change of the schema may be told before it can be seen.
  if (!all.ok() || !coherence_.SeesBeginning(all->snapshot)) return false;
  found_.clear();
  for (size_t i = 0; i < operations_.size(); ++i) {
    found_[operations_[i]] = std::make_shared<const sql::Dependencies>(std::move(all->each[i]));
  }
  found_for_ = generation;
  return true;
}

std::string Caching::Token() const {
  const uint64_t reach = coherence_.reach();
  return reach == 0 ? "" : FreshnessToken(reach);
}

bool Caching::Useful(const Wish& wish) const {
  switch (wish.freshness.mode) {
    case Freshness::Mode::kBypass:
      return false;
    case Freshness::Mode::kStale:
      return true;
    default:
      return coherence_.open();
  }
}

bool Caching::MustAsk(const Wish& wish) const {
  switch (wish.freshness.mode) {
    case Freshness::Mode::kStrict:
      return true;
    case Freshness::Mode::kSession:
      return coherence_.from() == sql::ChangesFrom::kOutbox;
    default:
      return false;
  }
}

std::shared_ptr<const cache::Entry> Caching::Find(const cache::Key& key, const Wish& wish) {
  const BootClock::time_point now = BootClock::now();
  switch (wish.freshness.mode) {
    case Freshness::Mode::kBypass:
      return nullptr;
    case Freshness::Mode::kStale:
      return cache_.Find(key, now - wish.freshness.most, now, /*unwatched=*/true);
    case Freshness::Mode::kStrict:
      return coherence_.open() ? cache_.Find(key, wish.arrived, now) : nullptr;
    case Freshness::Mode::kSession:
      if (!coherence_.Tells(wish.freshness.position, wish.arrived)) return nullptr;
      [[fallthrough]];
    default:
      return coherence_.open() ? cache_.Find(key, wish.arrived - options_.bound, now) : nullptr;
  }
}

std::shared_ptr<const sql::Dependencies> Caching::DependenciesOf(const Operation& operation) const {
  return DependenciesOf(operation, coherence_.generation());
}

std::shared_ptr<const sql::Dependencies> Caching::DependenciesOf(const Operation& operation,
                                                                 uint64_t generation) const {
  std::lock_guard lock(mutex_);
  const auto found = found_.find(&operation);
  return found != found_.end() && found_for_ == generation ? found->second : nullptr;
}

std::vector<sql::TableDependency> Caching::Tables() const {
  std::lock_guard lock(mutex_);
  std::vector<sql::TableDependency> tables;
  for (const auto& [operation, dependencies] : found_) {
    tables.insert(tables.end(), dependencies->tables.begin(), dependencies->tables.end());
  }
  return tables;
}

Caching::Fill Caching::Begin(const Operation& operation,
                             const google::protobuf::Message& request) const {
  Fill fill;
  fill.basis.generation = coherence_.generation();
  fill.dependencies = DependenciesOf(operation, fill.basis.generation);
  if (fill.dependencies != nullptr) {
    for (cache::Tag tag : TagsOf(Reliances(*fill.dependencies, operation, request))) {
      fill.basis.dependences.push_back({tag});
    }
  }
  fill.began = BootClock::now();
  return fill;
}

void Caching::Keep(Fill fill, const Operation& operation, const Wish& wish,
                   std::string_view request, cache::Answer answer,
                   const std::optional<sql::Snapshot>& snapshot) {
  Entry entry;
  entry.operation = &operation;
  entry.began = fill.began;
  entry.read = BootClock::now();
  if (fill.dependencies != nullptr && snapshot) {
    if (!fill.dependencies->refusal.empty()) return;
    entry.basis = std::move(fill.basis);
    entry.basis.snapshot = *snapshot;
    entry.coherent = coherence_.Admits(&entry.basis);
  }
  if (!entry.coherent && wish.freshness.mode != Freshness::Mode::kStale) return;
  entry.request = std::string(request);
  entry.answer = std::move(answer);
  cache_.Keep(std::move(entry), absl::ToChronoNanoseconds(operation.ttl()));
}

}  // namespace twi::server

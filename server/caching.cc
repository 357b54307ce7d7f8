#include "server/caching.h"

#include <utility>

#include "sql/follower.h"

namespace twi::server {

using sql::BootClock;

namespace {

constexpr std::chrono::milliseconds kTick{100};

// Statements that are looked at in one go: the others need not wait for the last.
constexpr size_t kBatch = 200;

}  // namespace

Caching::Caching(Options options, const repositories::Catalog& catalog)
    : options_(std::move(options)), cache_(options_.cache, &coherence_) {
  for (const auto& operation : catalog.operations()) {
    if (operation->ttl() > absl::ZeroDuration()) Add(operation->statement());
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
    if (following_ && coherence_.open()) {
      const std::vector<size_t> unknown = Unknown(generation);
      if (!unknown.empty() && FindDependencies(lock, generation, unknown)) continue;
    }
    // Notified without the lock: looks again now and then.
    changed_.wait_for(lock, kTick);
    lock.unlock();
    cache_.Sweep();
    lock.lock();
  }
}

std::vector<size_t> Caching::Unknown(uint64_t generation) const {
  std::vector<size_t> unknown;
  for (size_t i = 0; i < found_.size() && unknown.size() < kBatch; ++i) {
    if (found_[i].generation != generation) unknown.push_back(i);
  }
  return unknown;
}

bool Caching::FindDependencies(std::unique_lock<std::mutex>& lock, uint64_t generation,
                               const std::vector<size_t>& unknown) {
  std::vector<sql::Statement> statements;
  statements.reserve(unknown.size());
  for (const size_t place : unknown) statements.push_back(found_[place].statement);
  lock.unlock();
  // Of this generation or a later one, for which there will be another look.
  const sql::ChangesFrom from = coherence_.from();
  auto all = sql::FindDependencies(options_.dsn, statements, from);
  lock.lock();
  // A change of the schema may be told before it can be seen.
  if (!all.ok() || !coherence_.SeesBeginning(all->snapshot)) return false;
  for (size_t i = 0; i < unknown.size(); ++i) {
    Found& found = found_[unknown[i]];
    found.generation = generation;
    found.dependencies = std::make_shared<const sql::Dependencies>(std::move(all->each[i]));
  }
  return true;
}

bool Caching::Add(const sql::Statement& statement) {
  if (!places_.try_emplace(&statement, found_.size()).second) return false;
  found_.push_back({statement});
  return true;
}

void Caching::Learn(const sql::Statement& statement) {
  std::lock_guard lock(mutex_);
  if (Add(statement)) changed_.notify_all();
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

std::shared_ptr<const sql::Dependencies> Caching::DependenciesOf(
    const sql::Statement& statement) const {
  return DependenciesOf(statement, coherence_.generation());
}

std::shared_ptr<const sql::Dependencies> Caching::DependenciesOf(const sql::Statement& statement,
                                                                 uint64_t generation) const {
  std::lock_guard lock(mutex_);
  const auto place = places_.find(&statement);
  if (place == places_.end()) return nullptr;
  const Found& found = found_[place->second];
  return found.generation == generation ? found.dependencies : nullptr;
}

std::vector<sql::TableDependency> Caching::Tables() const {
  std::lock_guard lock(mutex_);
  std::vector<sql::TableDependency> tables;
  for (const Found& found : found_) {
    if (found.dependencies == nullptr) continue;
    const auto& of_it = found.dependencies->tables;
    tables.insert(tables.end(), of_it.begin(), of_it.end());
  }
  return tables;
}

Caching::Fill Caching::Begin(const sql::Statement& statement, PlaceholderText text) const {
  Fill fill;
  fill.basis.generation = coherence_.generation();
  fill.dependencies = DependenciesOf(statement, fill.basis.generation);
  if (fill.dependencies != nullptr) {
    for (cache::Tag tag : TagsOf(Reliances(*fill.dependencies, text))) {
      fill.basis.dependences.push_back({tag});
    }
  }
  fill.began = BootClock::now();
  return fill;
}

void Caching::Keep(Fill fill, const cache::Key& key, absl::Duration ttl, const Wish& wish,
                   cache::Answer answer, const std::optional<sql::Snapshot>& snapshot) {
  Entry entry;
  entry.statement = key.statement;
  entry.began = fill.began;
  entry.read = BootClock::now();
  if (fill.dependencies != nullptr && snapshot) {
    if (!fill.dependencies->refusal.empty()) return;
    entry.basis = std::move(fill.basis);
    entry.basis.snapshot = *snapshot;
    entry.coherent = coherence_.Admits(&entry.basis);
  }
  if (!entry.coherent && wish.freshness.mode != Freshness::Mode::kStale) return;
  entry.request = std::string(key.request);
  entry.answer = std::move(answer);
  cache_.Keep(std::move(entry), absl::ToChronoNanoseconds(ttl));
}

}  // namespace twi::server

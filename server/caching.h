#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "cache/cache.h"
#include "cache/coherence.h"
#include "cache/flights.h"
#include "repositories/catalog.h"
#include "server/freshness.h"
#include "server/reliance.h"
#include "sql/dependencies.h"

namespace twi::server {

/// The cache of a server's answers: what may be kept, where changes come from, and what a call's
/// freshness means for it. Any thread.
class Caching {
 public:
  using Entry = cache::Entry;
  using Log = std::function<void(std::string_view event, std::string_view detail)>;

  struct Options {
    std::string dsn;
    cache::Cache::Options cache = {};
    /// Of `bounded`. A write that cannot be followed is answered after this long: by then no answer
    /// without it is recent enough.
    std::chrono::milliseconds bound{50};
    Log log = [](std::string_view, std::string_view) {};
    /// Called, on a thread of the cache's, with how changes are followed, and why not otherwise.
    std::function<void(sql::ChangesFrom from, std::string_view why)> chosen =
        [](sql::ChangesFrom, std::string_view) {};
    /// The only way to follow changes; none: whatever the database allows.
    sql::ChangesFrom only = sql::ChangesFrom::kNone;
    /// Where changes come from instead.
    std::function<std::unique_ptr<sql::ChangeSource>(sql::ChangeListener*)> source = {};
  };

  /// What a read asks for, with the time it came.
  struct Wish {
    Freshness freshness;
    sql::BootClock::time_point arrived;
    bool asked = false;  ///< The caller named a freshness, so he gets a token.
  };

  /// Connections that it opens, beside the pool's.
  static constexpr int kConnections = 2;

  Caching(Options options, const repositories::Catalog& catalog);
  ~Caching();
  Caching(const Caching&) = delete;
  Caching& operator=(const Caching&) = delete;

  /// Follows the database's changes. Without them answers are kept for those only who ask for
  /// staleness by name.
  void Follow();

  /// The answer to the request's bytes, if one is kept that is as recent as wished.
  std::shared_ptr<const Entry> Find(const cache::Key& key, const Wish& wish);
  /// Whether answers may be looked for and kept at all.
  bool Useful(const Wish& wish) const;
  /// Whether there is only a hit when the database is asked after the call came. For a token, too,
  /// where no place in the log is known before which all is told.
  bool MustAsk(const Wish& wish) const;

  /// What a statement's answers depend on now; null when that is not known.
  std::shared_ptr<const sql::Dependencies> DependenciesOf(const sql::Statement& statement) const;
  /// Finds that out, soon and then whenever the schema has changed, for a statement of a caller's
  /// own; those of operations are known. Once is enough, and for good: there must be an end to
  /// them.
  void Learn(const sql::Statement& statement);

  /// Tables that statements depend on, one for each statement that does; as was known last.
  std::vector<sql::TableDependency> Tables() const;

  /// What a read must note before its statement is run, and what is kept of it afterwards.
  struct Fill {
    sql::BootClock::time_point began;
    std::shared_ptr<const sql::Dependencies> dependencies;
    cache::Basis basis;  ///< But for its snapshot.
  };
  Fill Begin(const sql::Statement& statement, PlaceholderText text) const;
  void Keep(Fill fill, const cache::Key& key, absl::Duration ttl, const Wish& wish,
            cache::Answer answer, const std::optional<sql::Snapshot>& snapshot);

  /// Calls `done` once all that is visible now is known to the cache, or `transaction` is and what
  /// it saw; at once when nothing is being told, and after the bound at the latest.
  void AwaitCurrent(sql::BootClock::time_point since, std::function<void()> done,
                    std::optional<uint64_t> transaction = std::nullopt) {
    coherence_.Await(since, options_.bound, std::move(done), transaction);
  }
  /// Writes are followed, so that who writes must wait until the cache knows.
  bool follows() const { return coherence_.open(); }
  /// The token for all that has been told until now; "" when nothing is being told.
  std::string Token() const;
  /// Whether Token() stands for what `entry` holds.
  bool Covers(const Entry& entry) const {
    return !coherence_.open() || coherence_.current_as_of() >= entry.read;
  }

  cache::Cache& cache() { return cache_; }
  cache::Flights& flights() { return flights_; }
  const cache::Coherence& coherence() const { return coherence_; }

 private:
  /// What was found out, in a generation, of a statement, which it is that of by its address.
  struct Found {
    sql::Statement statement;
    uint64_t generation = 0;
    std::shared_ptr<const sql::Dependencies> dependencies = nullptr;
  };

  /// False when it is there.
  bool Add(const sql::Statement& statement);
  /// As of a generation.
  std::shared_ptr<const sql::Dependencies> DependenciesOf(const sql::Statement& statement,
                                                          uint64_t generation) const;
  /// Until the end: sweeps the cache, and finds out anew what statements depend on whenever the
  /// schema may have changed.
  void Tend();
  /// Those whose dependencies are not known in this generation: operations' first, and not too many
  /// at a time. REQUIRES: the caller holds the mutex.
  std::vector<size_t> Unknown(uint64_t generation) const;
  /// False when they cannot be found yet. The lock is given up meanwhile.
  bool FindDependencies(std::unique_lock<std::mutex>& lock, uint64_t generation,
                        const std::vector<size_t>& unknown);

  const Options options_;
  cache::Coherence coherence_;
  cache::Cache cache_;
  cache::Flights flights_;
  std::unique_ptr<sql::ChangeSource> source_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All guarded by mutex_:
  bool following_ = false;
  std::vector<Found> found_;
  absl::flat_hash_map<const sql::Statement*, size_t> places_;  ///< In found_.
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace twi::server

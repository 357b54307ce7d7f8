#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "sql/rows.h"

namespace twi::sql {

/// Monotonic, and goes on while the machine sleeps: whoever wakes up must know how old it is what
/// it knows.
struct BootClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static time_point now();
};

/// Rows of a table that have one value in one column, by a hash of the three: `messages` with
/// channel_id 7. `value` is the value as PostgreSQL prints it. Within one process.
using KeyHash = uint64_t;
inline KeyHash HashKey(Oid table, std::string_view column, std::string_view value) {
  return absl::HashOf(table, column, value);
}

/// What a transaction did to one table.
struct TableChanges {
  /// More than its keys tell: the table was truncated, or too many rows were changed to list.
  bool whole = false;
  /// The values that changed rows have now, and had before, in the columns of the table's replica
  /// identity.
  absl::flat_hash_set<KeyHash> keys;

  static constexpr size_t kMostKeys = 256;
  void Add(KeyHash key) {
    if (whole) return;
    keys.insert(key);
    if (keys.size() > kMostKeys) AddAll();
  }
  void AddAll() {
    whole = true;
    keys.clear();
  }
};

/// What a transaction did, by table; a partition counts as the table that it is of.
struct Changes {
  uint64_t transaction = 0;  ///< Its xid8.
  absl::flat_hash_map<Oid, TableChanges> tables;
  /// It changed the schema.
  bool schema = false;

  bool empty() const { return tables.empty() && !schema; }
};

/// How changes are known.
enum class ChangesFrom {
  kNone,    ///< They are not.
  kStream,  ///< The database's log, by logical replication.
  kOutbox,  ///< What triggers write down.
};
/// `none`, `stream` or `outbox`.
const char* NameOf(ChangesFrom from);

/// Hears of every committed change of a database, whoever made it. Called by one thread.
class ChangeListener {
 public:
  virtual ~ChangeListener() = default;

  /// From here on every transaction is told that was not through when `first` began. Between an
  /// OnClosed and the next OnOpen some are missing.
  virtual void OnOpen(uint64_t first, ChangesFrom from) = 0;
  /// In no certain order. The transaction may not be visible to others yet.
  virtual void OnCommit(const Changes& changes) = 0;
  /// Something of the schema was changed in a way that is not told as a transaction's.
  virtual void OnSchemaChange() = 0;
  /// All that was visible to anybody at `as_of` has been told, and has its commits before
  /// `position`, a place in the database's log.
  virtual void OnCurrent(BootClock::time_point as_of, uint64_t position) = 0;
  /// All commits before `position` have been told, also those that are not visible yet; 0 when that
  /// is known of no place. At least every 10 ms while open.
  virtual void OnTick(uint64_t position) = 0;
  virtual void OnClosed() = 0;
};

/// Where changes come from.
class ChangeSource {
 public:
  virtual ~ChangeSource() = default;

  /// Asks for an OnCurrent whose time is not before this call; any thread.
  virtual void Freshen() = 0;
};

}  // namespace twi::sql

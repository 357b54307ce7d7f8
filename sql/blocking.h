#pragma once

#include <cstdint>
#include <functional>
#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "sql/errors.h"
#include "sql/schema.h"

namespace twi::sql {

/// Advisory locks, one meaning each. Any number will do, so long as it stays: programs of different
/// versions meet at them.
enum class AdvisoryLock : int64_t {
  kMigrations = 0x7477692d64617461,  ///< The schema's history: who changes it holds this alone.
  kUpkeep = 0x7477692d75706b70,      ///< Who makes indexes and views of it; beside a share of that.
};

/// A connection for what an operator runs, where each statement blocks its caller. It never
/// reconnects by itself: a new one would not hold the locks.
class BlockingConnection : public pqxx::connection {
 public:
  /// Throws what libpqxx does when the database cannot be reached.
  explicit BlockingConnection(const std::string& dsn);

  /// Takes the lock for as long as the connection is open. When another has it, calls `waiting`
  /// once, which may be empty, and looks again five times a second. It does not wait within a
  /// statement: CREATE INDEX CONCURRENTLY of who has the lock would wait for that statement, too.
  /// False, without the lock, when `stopped`, which may be empty, says so meanwhile.
  bool Lock(AdvisoryLock lock, bool shared = false, const std::function<void()>& waiting = {},
            const std::function<bool()>& stopped = {});
};

/// The objects of a schema, which is first in the search path.
std::vector<SchemaObject> ReadSchema(pqxx::transaction_base& transaction,
                                     const std::string& schema);

/// What an exception of libpqxx means: UNAVAILABLE when the connection broke or never was,
/// FAILED_PRECONDITION with the database's words when it refused a statement.
absl::Status ToStatus(const std::exception& error);

/// Runs `body`, whose exceptions become statuses here.
template <typename Body>
auto Guarded(Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::exception& error) {
    return ToStatus(error);
  }
}

}  // namespace twi::sql

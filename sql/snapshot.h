#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "sql/rows.h"
#include "sql/statement.h"

namespace twi::sql {

/// Which transactions a statement could see: PostgreSQL's pg_snapshot. Transactions are named by
/// their full 64-bit numbers (xid8), which never come again.
class Snapshot {
 public:
  /// Reads a value of pg_snapshot in binary format; nothing when it is none.
  static std::optional<Snapshot> Read(std::string_view binary);
  /// The answer of kTakeSnapshot.
  static std::optional<Snapshot> Of(const Rows& rows);

  /// Whether what the transaction did was visible. Never true of one that was not; of more than
  /// kMost unfinished transactions all younger than the oldest of them count as not seen.
  bool Sees(uint64_t xid) const {
    if (xid < oldest_) return true;
    if (xid >= next_) return false;
    for (uint64_t running : running_) {
      if (running == xid) return false;
    }
    return true;
  }

  /// Every transaction before this one had ended.
  uint64_t oldest() const { return oldest_; }
  /// The first transaction that had not begun.
  uint64_t next() const { return next_; }

 private:
  static constexpr int kMost = 64;

  uint64_t oldest_ = 0;
  uint64_t next_ = 0;
  std::vector<uint64_t> running_;
};

/// Run right before a statement in READ COMMITTED it tells a lower bound of what that sees.
inline const Statement kTakeSnapshot{"twi_data_snapshot", "select pg_current_snapshot()"};

/// Run behind the statements of a transaction it tells its number, if they changed anything.
inline const Statement kTakeTransaction{"twi_data_transaction",
                                        "select pg_current_xact_id_if_assigned()"};
/// The answer of kTakeTransaction.
std::optional<uint64_t> TransactionOf(const Rows& rows);

}  // namespace twi::sql

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "sql/changes.h"

namespace twi::sql {

class BigEndianReader;

/// Reads the messages of PostgreSQL's output plugin `pgoutput`, protocol version 2 with streaming
/// of large transactions and values as text, and gathers what each transaction changed until it
/// commits.
class Pgoutput {
 public:
  /// The prefix of the logical messages by which a schema change is told.
  static constexpr std::string_view kSchemaPrefix = "twi_data.schema";

  struct Commit {
    Changes changes;
    uint64_t end = 0;  ///< The position behind the commit in the log.
  };

  /// Takes one message; the commit when it is one. INTERNAL when it cannot be read.
  absl::StatusOr<std::optional<Commit>> Take(std::string_view message);

  /// A transaction number of about now, by which the 32 bits in messages are completed.
  void SetEpoch(uint64_t xid) { epoch_ = xid; }

 private:
  struct Relation {
    /// By name; "" are those that are not of the replica identity.
    std::vector<std::string> columns;
  };

  uint64_t Complete(uint32_t xid) const;
  Changes& Pending(uint32_t xid) { return pending_[xid]; }
  void TakeRelation(BigEndianReader& reader);
  void TakeRow(char kind, BigEndianReader& reader, Changes& changes);
  void TakeTuple(Oid table, BigEndianReader& reader, TableChanges& changes) const;
  static void TakeTruncate(BigEndianReader& reader, Changes& changes);
  std::optional<Commit> End(uint32_t xid, uint64_t end);

  absl::flat_hash_map<Oid, Relation> relations_;
  absl::flat_hash_map<uint32_t, Changes> pending_;
  /// The transaction whose messages come; large ones come in pieces, between others.
  uint32_t current_ = 0;
  /// Messages carry the transaction of their own, perhaps a subtransaction, while this is set.
  bool in_piece_ = false;
  uint64_t epoch_ = 0;
};

}  // namespace twi::sql

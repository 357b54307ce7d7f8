#include "sql/snapshot.h"

#include "sql/big_endian.h"

namespace twi::sql {

std::optional<Snapshot> Snapshot::Read(std::string_view binary) {
  BigEndianReader reader(binary);
  Snapshot snapshot;
  const uint32_t running = reader.Int32();
  snapshot.oldest_ = reader.Int64();
  snapshot.next_ = reader.Int64();
  if (!reader.ok() || snapshot.oldest_ > snapshot.next_) return std::nullopt;
  if (running > kMost) {
    snapshot.next_ = snapshot.oldest_;
    return snapshot;
  }
  for (uint32_t i = 0; i < running; ++i) snapshot.running_.push_back(reader.Int64());
  if (!reader.ok() || !reader.empty()) return std::nullopt;
  return snapshot;
}

std::optional<Snapshot> Snapshot::Of(const Rows& rows) {
  if (rows.size() != 1 || rows.columns() != 1) return std::nullopt;
  return Read(rows.value(0, 0));
}

std::optional<uint64_t> TransactionOf(const Rows& rows) {
  if (rows.size() != 1 || rows.columns() != 1 || rows.is_null(0, 0)) return std::nullopt;
  BigEndianReader reader(rows.value(0, 0));
  const uint64_t xid = reader.Int64();
  if (!reader.ok() || !reader.empty()) return std::nullopt;
  return xid;
}

}  // namespace twi::sql

#include "sql/pgoutput.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "sql/big_endian.h"

namespace twi::sql {

uint64_t Pgoutput::Complete(uint32_t xid) const {
  // The nearest number with these 32 bits.
  const auto distance = static_cast<int32_t>(xid - static_cast<uint32_t>(epoch_));
  return epoch_ + static_cast<int64_t>(distance);
}

absl::StatusOr<std::optional<Pgoutput::Commit>> Pgoutput::Take(std::string_view message) {
  BigEndianReader reader(message);
  std::optional<Commit> commit;
  const char kind = static_cast<char>(reader.Byte());
  // A large transaction's messages say whose they are: its own or a subtransaction's, which ends
  // with it.
  if (in_piece_ && std::string_view("RYIUDTM").find(kind) != std::string_view::npos) reader.Int32();
  switch (kind) {
    case 'B':  // Begin: end position, time, transaction.
      reader.Int64();
      reader.Int64();
      current_ = reader.Int32();
      break;
    case 'C': {  // Commit: flags, position, position behind, time.
      reader.Byte();
      reader.Int64();
      const uint64_t end = reader.Int64();
      commit = End(current_, end);
      break;
    }
    case 'S':  // A piece of a large transaction begins.
      current_ = reader.Int32();
      in_piece_ = true;
      break;
    case 'E':
      in_piece_ = false;
      break;
    case 'c': {  // A large transaction commits: transaction, then as 'C'.
      const uint32_t xid = reader.Int32();
      reader.Byte();
      reader.Int64();
      const uint64_t end = reader.Int64();
      commit = End(xid, end);
      break;
    }
    case 'A': {  // A large transaction or one of its subtransactions is rolled back.
      const uint32_t xid = reader.Int32();
      if (reader.Int32() == xid) pending_.erase(xid);
      break;
    }
    case 'R':
      TakeRelation(reader);
      break;
    case 'I':
    case 'U':
    case 'D':
      TakeRow(kind, reader, Pending(current_));
      break;
    case 'T':
      TakeTruncate(reader, Pending(current_));
      break;
    case 'M':                         // A logical message: flags, position, prefix, content.
      if (reader.Byte() != 1) break;  // Not of a transaction.
      reader.Int64();
      if (reader.Text() == kSchemaPrefix) Pending(current_).schema = true;
      break;
    case 'O':
    case 'Y':
      break;
    default:
      return absl::InternalError(absl::StrCat("a message of kind ", std::string(1, kind)));
  }
  if (!reader.ok())
    return absl::InternalError(absl::StrCat("a short message of kind ", std::string(1, kind)));
  return commit;
}

void Pgoutput::TakeRelation(BigEndianReader& reader) {
  Relation relation;
  const Oid table = reader.Int32();
  reader.Text();
  reader.Text();
  reader.Byte();  // The replica identity.
  const int columns = reader.Int16();
  for (int i = 0; i < columns && reader.ok(); ++i) {
    const bool identity = (reader.Byte() & 1) != 0;
    const std::string_view name = reader.Text();
    relation.columns.emplace_back(identity ? name : "");
    reader.Int32();
    reader.Int32();
  }
  relations_[table] = std::move(relation);
}

void Pgoutput::TakeRow(char kind, BigEndianReader& reader, Changes& changes) {
  const Oid table = reader.Int32();
  TableChanges& of_table = changes.tables[table];
  // An update has the old key or row before the new one when it changed the replica identity.
  char part = static_cast<char>(reader.Byte());
  TakeTuple(table, reader, of_table);
  if (kind != 'U' || part == 'N') return;
  part = static_cast<char>(reader.Byte());
  TakeTuple(table, reader, of_table);
}

void Pgoutput::TakeTuple(Oid table, BigEndianReader& reader, TableChanges& changes) const {
  const auto relation = relations_.find(table);
  const int columns = reader.Int16();
  for (int i = 0; i < columns && reader.ok(); ++i) {
    const char kind = static_cast<char>(reader.Byte());
    const bool known =
        relation != relations_.end() && i < static_cast<int>(relation->second.columns.size());
    std::string_view column;
    if (known) column = relation->second.columns[i];
    std::string_view value;
    if (kind == 't') value = reader.Bytes(reader.Int32());
    // NULL equals nothing that a statement asks for.
    if (kind == 'n' || (known && column.empty())) continue;
    // A long value that did not change is not sent.
    if (kind == 'u' || !known) {
      changes.AddAll();
    } else {
      changes.Add(HashKey(table, column, value));
    }
  }
}

void Pgoutput::TakeTruncate(BigEndianReader& reader, Changes& changes) {
  const uint32_t tables = reader.Int32();
  reader.Byte();
  for (uint32_t i = 0; i < tables && reader.ok(); ++i) changes.tables[reader.Int32()].AddAll();
}

std::optional<Pgoutput::Commit> Pgoutput::End(uint32_t xid, uint64_t end) {
  Commit commit;
  if (const auto found = pending_.find(xid); found != pending_.end()) {
    commit.changes = std::move(found->second);
    pending_.erase(found);
  }
  commit.changes.transaction = Complete(xid);
  commit.end = end;
  return commit;
}

}  // namespace twi::sql

#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

struct pg_result;

namespace twi::sql {

/// A type's number in pg_type.
using Oid = uint32_t;

/// The rows that one statement returned, in Postgres's binary format. Values are views into it.
class Rows {
 public:
  Rows() = default;
  /// Takes a result of libpq and clears it in the end.
  explicit Rows(pg_result* result) : result_(result) {}

  int size() const;
  int columns() const;
  std::string_view column_name(int column) const;
  Oid column_type(int column) const;

  bool is_null(int row, int column) const;
  /// The value's bytes, "" for NULL. REQUIRES: 0 <= row < size(), 0 <= column < columns().
  std::string_view value(int row, int column) const;

  /// Rows inserted, updated, deleted or selected, by the command's tag.
  int64_t affected() const;

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

}  // namespace twi::sql

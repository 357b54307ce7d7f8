#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

struct pg_result;

namespace twi::sql {

/// A type's number in pg_type.
using Oid = uint32_t;

/// The rows that one statement returned, or some of them, in Postgres's binary format. Values are
/// views into it; copies share it.
class Rows {
 public:
  Rows() = default;
  /// Takes a result of libpq and clears it in the end.
  explicit Rows(pg_result* result);

  /// One for each n of 1…count, with the rows whose int8 `column` is n, in order. Other rows are in
  /// none; without such a column, all.
  std::vector<Rows> Split(const char* column, int count) const;

  int size() const;
  int columns() const;
  std::string_view column_name(int column) const;
  Oid column_type(int column) const;

  bool is_null(int row, int column) const;
  /// The value's bytes, "" for NULL. REQUIRES: 0 <= row < size(), 0 <= column < columns().
  std::string_view value(int row, int column) const;

  /// What the database says that was done: `INSERT 0 3`.
  std::string_view command_tag() const;
  /// Of the description of a statement: the types of its placeholders.
  std::vector<Oid> parameter_types() const;

  /// Rows inserted, updated, deleted or selected, by the command's tag.
  int64_t affected() const;

 private:
  int At(int row) const { return picked_ ? (*picked_)[first_ + row] : row; }

  std::shared_ptr<pg_result> result_;
  /// Rows of the result, of which `count_` from `first_` on are meant; null: all of the result.
  std::shared_ptr<const std::vector<int>> picked_;
  int first_ = 0;
  int count_ = 0;
};

}  // namespace twi::sql

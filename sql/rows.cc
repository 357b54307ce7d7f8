#include "sql/rows.h"

#include <libpq-fe.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"

namespace twi::sql {

Rows::Rows(pg_result* result) : result_(result, PQclear) {}

std::vector<Rows> Rows::Split(const char* column, int count) const {
  const int index = PQfnumber(result_.get(), column);
  std::vector<std::pair<int64_t, int>> whose;
  whose.reserve(size());
  for (int row = 0; index >= 0 && row < size(); ++row) {
    const std::string_view bytes = value(row, index);
    int64_t number = 0;
    if (bytes.size() != sizeof(number)) continue;
    for (unsigned char byte : bytes) number = number << 8 | byte;
    if (number >= 1 && number <= count) whose.emplace_back(number, At(row));
  }
  std::ranges::stable_sort(whose, {}, &std::pair<int64_t, int>::first);
  auto picked = std::make_shared<std::vector<int>>();
  picked->reserve(whose.size());
  for (const auto& [number, row] : whose) picked->push_back(row);
  std::vector<Rows> parts(count, *this);
  for (Rows& part : parts) {
    part.picked_ = picked;
    part.count_ = 0;
  }
  for (int i = 0; i < static_cast<int>(whose.size()); ++i) {
    Rows& part = parts[whose[i].first - 1];
    if (part.count_++ == 0) part.first_ = i;
  }
  return parts;
}

int Rows::size() const { return picked_ ? count_ : PQntuples(result_.get()); }

int Rows::columns() const { return PQnfields(result_.get()); }

std::string_view Rows::column_name(int column) const { return PQfname(result_.get(), column); }

Oid Rows::column_type(int column) const { return PQftype(result_.get(), column); }

bool Rows::is_null(int row, int column) const {
  return PQgetisnull(result_.get(), At(row), column) != 0;
}

std::string_view Rows::value(int row, int column) const {
  row = At(row);
  return {PQgetvalue(result_.get(), row, column),
          static_cast<size_t>(PQgetlength(result_.get(), row, column))};
}

std::string_view Rows::command_tag() const {
  return result_ == nullptr ? "" : PQcmdStatus(result_.get());
}

std::vector<Oid> Rows::parameter_types() const {
  std::vector<Oid> types;
  for (int i = 0; i < PQnparams(result_.get()); ++i) types.push_back(PQparamtype(result_.get(), i));
  return types;
}

int64_t Rows::affected() const {
  int64_t count = 0;
  // No result and commands without a count give "", which leaves 0.
  if (result_ == nullptr || !absl::SimpleAtoi(PQcmdTuples(result_.get()), &count)) return 0;
  return count;
}

}  // namespace twi::sql

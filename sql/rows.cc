#include "sql/rows.h"

#include <libpq-fe.h>

#include "absl/strings/numbers.h"

namespace twi::sql {

int Rows::size() const { return PQntuples(result_.get()); }

int Rows::columns() const { return PQnfields(result_.get()); }

std::string_view Rows::column_name(int column) const { return PQfname(result_.get(), column); }

Oid Rows::column_type(int column) const { return PQftype(result_.get(), column); }

bool Rows::is_null(int row, int column) const {
  return PQgetisnull(result_.get(), row, column) != 0;
}

std::string_view Rows::value(int row, int column) const {
  return {PQgetvalue(result_.get(), row, column),
          static_cast<size_t>(PQgetlength(result_.get(), row, column))};
}

int64_t Rows::affected() const {
  int64_t count = 0;
  // No result and commands without a count give "", which leaves 0.
  if (result_ == nullptr || !absl::SimpleAtoi(PQcmdTuples(result_.get()), &count)) return 0;
  return count;
}

void Rows::Clear::operator()(pg_result* result) const { PQclear(result); }

}  // namespace twi::sql

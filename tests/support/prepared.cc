#include "tests/support/prepared.h"

#include <libpq-fe.h>

#include <cstdlib>
#include <iostream>

namespace twi::testing {
namespace {

PGresult* Expect(ExecStatusType status, PGresult* result, const std::string& text) {
  if (PQresultStatus(result) == status) return result;
  std::cerr << text << "\n" << PQresultErrorMessage(result) << std::endl;
  std::abort();
}

}  // namespace

void Prepared::Finish::operator()(pg_conn* connection) const { PQfinish(connection); }

Prepared::Prepared(const std::string& dsn, const std::string& text)
    : connection_(PQconnectdb(dsn.c_str())), text_(text) {
  pg_conn* connection = connection_.get();
  PQclear(Expect(PGRES_COMMAND_OK, PQprepare(connection, "", text.c_str(), 0, nullptr), text));
  PGresult* described = Expect(PGRES_COMMAND_OK, PQdescribePrepared(connection, ""), text);
  for (int i = 0; i < PQnparams(described); ++i) {
    description_.parameters.push_back(PQparamtype(described, i));
  }
  for (int i = 0; i < PQnfields(described); ++i) {
    sql::Column column;
    column.name = PQfname(described, i);
    column.type = PQftype(described, i);
    column.table = PQftable(described, i);
    column.attribute = PQftablecol(described, i);
    description_.columns.push_back(column);
  }
  PQclear(described);
}

sql::Rows Prepared::Run(const sql::Parameters& parameters) const {
  std::vector<const char*> values;
  std::vector<int> lengths;
  for (int i = 0; i < parameters.size(); ++i) {
    values.push_back(parameters.is_null(i) ? nullptr : parameters.value(i).data());
    lengths.push_back(static_cast<int>(parameters.value(i).size()));
  }
  const std::vector<int> formats(values.size(), 1);
  return sql::Rows(Expect(PGRES_TUPLES_OK,
                          PQexecPrepared(connection_.get(), "", parameters.size(), values.data(),
                                         lengths.data(), formats.data(), 1),
                          text_));
}

}  // namespace twi::testing

#include "sql/describe.h"

#include <libpq-fe.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace twi::sql {
namespace {

using Handle = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

std::string Field(const Result& result, int code) {
  const char* value = PQresultErrorField(result.get(), code);
  return value ? value : "";
}

Result Run(PGconn* connection, const std::string& text) {
  return {PQexec(connection, text.c_str()), PQclear};
}

// Of the statement that is looked at.
constexpr char kName[] = "twi_data_described";

// In the planner's unit: about what reading 60,000 rows costs, which takes about Conduct::kSlow.
constexpr double kCostly = 1000;

/// Of its generic plan, whatever the parameters; 0 for what has no plan.
double Cost(PGconn* connection, int parameters) {
  const std::vector<std::string> nulls(static_cast<size_t>(parameters), "null");
  const Result result =
      Run(connection,
          absl::StrCat("explain (format json) execute ", kName,
                       nulls.empty() ? "" : absl::StrCat("(", absl::StrJoin(nulls, ", "), ")")));
  if (PQntuples(result.get()) == 0) return 0;
  const auto plan = nlohmann::json::parse(PQgetvalue(result.get(), 0, 0))[0];
  return plan.is_object() ? plan["Plan"]["Total Cost"].get<double>() : 0;
}

Described DescribeOne(PGconn* connection, const std::string& text) {
  Described described;
  Result result(PQprepare(connection, kName, text.c_str(), 0, nullptr), PQclear);
  if (PQresultStatus(result.get()) == PGRES_COMMAND_OK) {
    result.reset(PQdescribePrepared(connection, kName));
  }
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
    described.error = {Field(result, PG_DIAG_SQLSTATE), Field(result, PG_DIAG_MESSAGE_PRIMARY), "",
                       ""};
    if (described.error.message.empty()) described.error.message = PQerrorMessage(connection);
    described.error_position = std::atoi(Field(result, PG_DIAG_STATEMENT_POSITION).c_str());
    return described;
  }
  for (int i = 0; i < PQnparams(result.get()); ++i) {
    described.description.parameters.push_back(PQparamtype(result.get(), i));
  }
  for (int i = 0; i < PQnfields(result.get()); ++i) {
    described.description.columns.push_back({PQfname(result.get(), i), PQftype(result.get(), i),
                                             PQftable(result.get(), i),
                                             PQftablecol(result.get(), i), false});
  }
  described.description.costly = Cost(connection, PQnparams(result.get())) > kCostly;
  Run(connection, absl::StrCat("deallocate ", kName));
  return described;
}

}  // namespace

absl::StatusOr<std::vector<Described>> Describe(const std::string& dsn,
                                                const std::vector<std::string>& texts,
                                                const std::string& before) {
  Handle connection(PQconnectdb(dsn.c_str()), PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    return absl::UnavailableError(PQerrorMessage(connection.get()));
  }
  if (!before.empty()) Run(connection.get(), before);
  Run(connection.get(), "set plan_cache_mode = force_generic_plan");
  std::vector<Described> all;
  for (const std::string& text : texts) all.push_back(DescribeOne(connection.get(), text));

  const Result rows =
      Run(connection.get(),
          "select attrelid, attnum from pg_attribute where attnotnull and attnum > 0");
  absl::flat_hash_set<std::pair<Oid, int>> not_null;
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    not_null.insert({static_cast<Oid>(std::strtoul(PQgetvalue(rows.get(), row, 0), nullptr, 10)),
                     std::atoi(PQgetvalue(rows.get(), row, 1))});
  }
  for (Described& described : all) {
    for (Column& column : described.description.columns) {
      column.not_null = not_null.contains({column.table, column.attribute});
    }
  }
  return all;
}

}  // namespace twi::sql

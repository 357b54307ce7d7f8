#include "sql/blocking.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace twi::sql {

BlockingConnection::BlockingConnection(const std::string& dsn) : pqxx::connection(dsn) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  inhibit_reactivation(true);
#pragma GCC diagnostic pop
  // Definitions are read as text.
  pqxx::nontransaction(*this).exec("set client_min_messages = warning; set datestyle = iso");
}

bool BlockingConnection::Lock(AdvisoryLock lock, bool shared, const std::function<void()>& waiting,
                              const std::function<bool()>& stopped) {
  const std::string attempt = absl::StrCat("select pg_try_advisory_lock", shared ? "_shared" : "",
                                           "(", static_cast<int64_t>(lock), ")");
  bool told = false;
  while (!pqxx::nontransaction(*this).exec(attempt)[0][0].as<bool>()) {
    if (!told && waiting) waiting();
    told = true;
    if (stopped && stopped()) return false;
    absl::SleepFor(absl::Milliseconds(200));
  }
  return true;
}

std::vector<SchemaObject> ReadSchema(pqxx::transaction_base& transaction,
                                     const std::string& schema) {
  std::vector<SchemaObject> objects;
  for (const pqxx::row& row : transaction.exec_params(kSchemaQuery, schema)) {
    SchemaObject object{.kind = row["kind"].c_str(),
                        .name = row["name"].c_str(),
                        .relation = row["relation"].c_str(),
                        .definition = row["definition"].c_str(),
                        .type = row["type"].c_str(),
                        .required = row["required"].as<bool>(false),
                        .default_value = std::nullopt,
                        .derived = row["derived"].as<bool>(false),
                        .owner = row["owner"].c_str(),
                        .columns = {}};
    if (!row["value"].is_null()) object.default_value = row["value"].c_str();
    if (!row["columns"].is_null()) {
      object.columns = absl::StrSplit(row["columns"].c_str(), '\n');
    }
    objects.push_back(std::move(object));
  }
  return objects;
}

absl::Status ToStatus(const std::exception& error) {
  const absl::string_view what = absl::StripAsciiWhitespace(error.what());
  const auto* refusal = dynamic_cast<const pqxx::sql_error*>(&error);
  // Not a word from the database: the connection broke, or never was.
  if (refusal == nullptr) return absl::UnavailableError(what);
  DatabaseError of_database;
  of_database.sqlstate = refusal->sqlstate();
  if (absl::IsUnavailable(of_database.ToStatus())) return absl::UnavailableError(what);
  return absl::FailedPreconditionError(what);
}

}  // namespace twi::sql

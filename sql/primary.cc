#include "sql/primary.h"

#include <libpq-fe.h>

#include <array>
#include <iterator>
#include <memory>
#include <tuple>
#include <utility>

namespace twi::sql {

pg_conn* ConnectToPrimary(const std::string& dsn, const std::string& timeout_seconds,
                          const char* application_name, bool replication) {
  // Linux gives up at the first probe after the user timeout, whatever their number: at 9 s here,
  // and with 10 s at 11. The DSN, expanded first, may say otherwise; that the server must be a
  // primary it may not.
  const std::pair<const char*, const char*> settings[] = {
      {"keepalives_idle", "5"},
      {"keepalives_interval", "2"},
      {"keepalives_count", "2"},
      {"tcp_user_timeout", "8500"},
      {"connect_timeout", timeout_seconds.c_str()},
      {"application_name", application_name},
      {"dbname", dsn.c_str()},
      {"target_session_attrs", "read-write"},
      {"client_encoding", replication ? "UTF8" : nullptr},
      {"replication", replication ? "database" : nullptr}};
  std::array<const char*, std::size(settings) + 1> keywords{};
  std::array<const char*, std::size(settings) + 1> values{};
  for (size_t i = 0; i < std::size(settings); ++i) {
    std::tie(keywords[i], values[i]) = settings[i];
  }
  return PQconnectdbParams(keywords.data(), values.data(), /*expand_dbname=*/1);
}

absl::StatusOr<std::string> PostgresVersion(const std::string& dsn) {
  const std::unique_ptr<pg_conn, void (*)(pg_conn*)> connection(
      ConnectToPrimary(dsn, "10", "twi-data", false), PQfinish);
  const char* version = PQparameterStatus(connection.get(), "server_version");
  if (PQstatus(connection.get()) != CONNECTION_OK || version == nullptr) {
    return absl::UnavailableError(PQerrorMessage(connection.get()));
  }
  return version;
}

}  // namespace twi::sql

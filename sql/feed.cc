#include "sql/feed.h"

#include <libpq-fe.h>
#include <poll.h>

#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

#include "sql/bell.h"
#include "sql/primary.h"

namespace twi::sql {

Feed::Connected Feed::Connect(bool replication) const {
  Connected connection{ConnectToPrimary(dsn_, "10", "twi-data changes", replication), PQfinish};
  PQsetNoticeReceiver(
      connection.get(), [](void*, const PGresult*) {}, nullptr);
  return connection;
}

absl::Status Feed::Broken(PGconn* connection) {
  return absl::UnavailableError(PQerrorMessage(connection));
}

absl::Status Feed::Refused(PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const std::string_view sqlstate = state == nullptr ? "" : state;
  const std::string message = PQresultErrorMessage(result);
  // Connection exceptions, and interventions of the operator: both pass.
  return sqlstate.empty() || sqlstate.starts_with("08") || sqlstate.starts_with("57")
             ? absl::UnavailableError(message)
             : absl::FailedPreconditionError(message);
}

absl::StatusOr<Feed::Result> Feed::Run(PGconn* connection, const std::string& text) {
  if (!PQsendQuery(connection, text.c_str())) return Broken(connection);
  Result last(nullptr, PQclear);
  for (;;) {
    while (PQisBusy(connection)) {
      Wait({connection}, std::chrono::milliseconds(100));
      if (bell_.stopping()) return absl::CancelledError("stopped");
      if (!PQconsumeInput(connection)) return Broken(connection);
    }
    Result result(PQgetResult(connection), PQclear);
    if (result == nullptr) return last;
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_COPY_BOTH) return result;
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) return Refused(result.get());
    last = std::move(result);
  }
}

void Feed::Wait(std::initializer_list<PGconn*> connections, std::chrono::milliseconds timeout) {
  std::vector<pollfd> files = {{bell_.file(), POLLIN, 0}};
  for (PGconn* connection : connections) files.push_back({PQsocket(connection), POLLIN, 0});
  poll(files.data(), files.size(), static_cast<int>(timeout.count()));
  if (files[0].revents != 0) bell_.Hush();
}

uint64_t Feed::Position(const char* text) {
  unsigned high = 0;
  unsigned low = 0;
  return std::sscanf(text, "%X/%X", &high, &low) == 2 ? uint64_t{high} << 32 | low : 0;
}

}  // namespace twi::sql

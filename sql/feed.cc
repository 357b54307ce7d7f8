#include "sql/feed.h"

#include <libpq-fe.h>
#include <poll.h>

#include <array>
#include <cstdio>
#include <string_view>
#include <utility>

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

Feed::Ready Feed::Wait(std::initializer_list<PGconn*> connections,
                       std::chrono::milliseconds timeout) {
  std::array<pollfd, 1 + Ready().size()> files{{{bell_.file(), POLLIN, 0}}};
  size_t count = 1;
  for (PGconn* connection : connections) files[count++] = {PQsocket(connection), POLLIN, 0};
  Ready ready;
  if (poll(files.data(), count, static_cast<int>(timeout.count())) <= 0) return ready.set();
  if (files[0].revents != 0) bell_.Hush();
  for (size_t i = 1; i < count; ++i) ready[i - 1] = files[i].revents != 0;
  return ready;
}

uint64_t Feed::Position(const char* text) {
  unsigned high = 0;
  unsigned low = 0;
  return std::sscanf(text, "%X/%X", &high, &low) == 2 ? uint64_t{high} << 32 | low : 0;
}

}  // namespace twi::sql

#include "sql/connection.h"

#include <libpq-fe.h>

#include <asio/post.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace twi::sql {
namespace {

std::string Field(const PGresult* result, int code) {
  const char* value = PQresultErrorField(result, code);
  return value ? value : "";
}

DatabaseError ErrorOf(const PGresult* result) {
  return {Field(result, PG_DIAG_SQLSTATE), Field(result, PG_DIAG_MESSAGE_PRIMARY),
          Field(result, PG_DIAG_CONSTRAINT_NAME), Field(result, PG_DIAG_COLUMN_NAME)};
}

/// What every connection of ours is, whatever the role's or the database's defaults say.
std::string SessionSettings(const ConnectionOptions& options) {
  return absl::StrCat(
      "set default_transaction_isolation = 'read committed';"
      "set default_transaction_read_only = ",
      options.read_only ? "on" : "off",
      ";set default_transaction_deferrable = off;"
      "set timezone = 'UTC';set statement_timeout = 0;set client_encoding = 'UTF8';"
      // Values within json are text.
      "set bytea_output = 'hex';set extra_float_digits = 1;"
      "set lock_timeout = ",
      absl::ToInt64Milliseconds(options.lock_timeout));
}

}  // namespace

absl::StatusOr<std::shared_ptr<Connection>> Connection::Open(const ConnectionOptions& options,
                                                             asio::io_context& loop) {
  const std::string timeout =
      absl::StrCat(std::max<int64_t>(2, absl::ToInt64Seconds(options.connect_timeout)));
  // A dead peer is noticed within about 10 s, whether we wait for it or it for us. The DSN,
  // expanded first, may say otherwise; that the server must be a primary it may not.
  const char* const keywords[] = {"keepalives_idle",  "keepalives_interval",  "keepalives_count",
                                  "tcp_user_timeout", "connect_timeout",      "application_name",
                                  "dbname",           "target_session_attrs", nullptr};
  const char* const values[] = {
      "5",          "2",    "2", "10000", timeout.c_str(), "twi-data", options.dsn.c_str(),
      "read-write", nullptr};
  PGconn* raw = PQconnectdbParams(keywords, values, /*expand_dbname=*/1);
  std::shared_ptr<Connection> connection(new Connection(raw, loop));
  if (PQstatus(raw) != CONNECTION_OK) {
    return Error(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", PQerrorMessage(raw));
  }
  PGresult* configured = PQexec(raw, SessionSettings(options).c_str());
  const bool ok = PQresultStatus(configured) == PGRES_COMMAND_OK;
  PQclear(configured);
  if (!ok || PQsetnonblocking(raw, 1) != 0 || PQenterPipelineMode(raw) != 1) {
    return Error(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", PQerrorMessage(raw));
  }
  return connection;
}

Connection::Connection(PGconn* connection, asio::io_context& loop)
    : connection_(connection), socket_(loop) {}

Connection::~Connection() { Close(); }

void Connection::Listen(Listener* listener) {
  listener_ = listener;
  socket_.assign(PQsocket(connection_));
  WaitReadable();
}

void Connection::Close() {
  listener_ = nullptr;
  if (connection_ == nullptr) return;
  broken_ = true;
  // The descriptor is libpq's to close.
  if (socket_.is_open()) socket_.release();
  PQfinish(std::exchange(connection_, nullptr));
}

bool Connection::idle() const {
  return connection_ != nullptr && PQtransactionStatus(connection_) == PQTRANS_IDLE;
}

void Connection::Send(const Statement& statement, const Parameters& parameters) {
  if (broken_) return;
  bool ok = true;
  if (prepared_.insert(&statement).second) {
    ok = PQsendPrepare(connection_, statement.name.c_str(), statement.text.c_str(), 0, nullptr);
    answers_.push_back({Expected::kPrepare, &statement});
  }
  constexpr int kInline = 16;
  const int count = parameters.size();
  const char* inline_values[kInline];
  int inline_lengths[kInline];
  int inline_formats[kInline];
  std::vector<const char*> more_values(count > kInline ? count : 0);
  std::vector<int> more_numbers(count > kInline ? 2 * count : 0);
  const char** values = count > kInline ? more_values.data() : inline_values;
  int* lengths = count > kInline ? more_numbers.data() : inline_lengths;
  int* formats = count > kInline ? more_numbers.data() + count : inline_formats;
  for (int i = 0; i < count; ++i) {
    values[i] = parameters.is_null(i) ? nullptr : parameters.value(i).data();
    lengths[i] = static_cast<int>(parameters.value(i).size());
    formats[i] = 1;
  }
  ok = ok && PQsendQueryPrepared(connection_, statement.name.c_str(), count, values, lengths,
                                 formats, /*resultFormat=*/1);
  answers_.push_back({Expected::kExecution, &statement});
  if (!ok) PostBreak();
}

void Connection::Sync() {
  if (broken_) return;
  answers_.push_back({Expected::kSync, nullptr});
  if (!PQpipelineSync(connection_)) PostBreak();
}

void Connection::Flush() {
  if (broken_ || waiting_writable_) return;
  const int rest = PQflush(connection_);
  if (rest < 0) return PostBreak();
  if (rest == 0) return;
  WaitWritable();
  // A PQflush that finds the socket full may read answers into libpq's own buffer, and no readiness
  // event follows for those.
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->Receive(); });
}

std::function<void()> Connection::PrepareCancel() const {
  const std::shared_ptr<PGcancel> cancel(PQgetCancel(connection_), PQfreeCancel);
  return [cancel] {
    char error[256];
    PQcancel(cancel.get(), error, sizeof(error));
  };
}

void Connection::WaitReadable() {
  socket_.async_wait(asio::posix::descriptor_base::wait_read,
                     [self = shared_from_this()](const std::error_code& error) {
                       if (error || self->broken_) return;
                       if (!PQconsumeInput(self->connection_)) return self->Break();
                       self->Receive();
                       if (!self->broken_) self->WaitReadable();
                     });
}

void Connection::WaitWritable() {
  waiting_writable_ = true;
  socket_.async_wait(asio::posix::descriptor_base::wait_write,
                     [self = shared_from_this()](const std::error_code& error) {
                       self->waiting_writable_ = false;
                       if (!error && !self->broken_) self->Flush();
                     });
}

void Connection::Receive() {
  // Each answer is one result and a NULL; a Sync has no NULL. The listener may send meanwhile.
  while (!broken_ && !answers_.empty() && !PQisBusy(connection_)) {
    PGresult* result = PQgetResult(connection_);
    if (result == nullptr) {
      if (answered_) {
        answered_ = false;
        if (answers_.front().expected != Expected::kSync) answers_.pop_front();
      } else if (PQstatus(connection_) != CONNECTION_OK) {
        return Break();
      }
    } else {
      Take(result);
    }
  }
  if (!broken_ && PQstatus(connection_) != CONNECTION_OK) Break();
}

void Connection::Take(PGresult* result) {
  Rows rows(result);
  const Answer& answer = answers_.front();
  answered_ = true;
  switch (PQresultStatus(result)) {
    case PGRES_PIPELINE_SYNC: {
      answered_ = false;
      answers_.pop_front();
      const bool failed = std::exchange(sync_failed_, false);
      listener_->OnSync(failed ? &sync_error_ : nullptr);
      return;
    }
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
      if (answer.expected == Expected::kExecution) listener_->OnRows(std::move(rows));
      return;
    case PGRES_PIPELINE_ABORTED:
      if (answer.expected == Expected::kPrepare) {
        prepared_.erase(answer.statement);
      } else if (!std::exchange(preparation_failed_, false)) {
        listener_->OnSkipped();
      }
      return;
    default:
      break;
  }
  DatabaseError error = ErrorOf(result);
  if (PQstatus(connection_) != CONNECTION_OK) return;  // Receive breaks, with libpq's own message.
  if (answer.expected == Expected::kSync) {
    sync_failed_ = true;
    sync_error_ = std::move(error);
    return;
  }
  if (answer.expected == Expected::kPrepare) {
    prepared_.erase(answer.statement);
    preparation_failed_ = true;
  }
  listener_->OnError(std::move(error));
}

void Connection::PostBreak() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->Break(); });
}

void Connection::Break() {
  if (broken_) return;
  DatabaseError error{"", PQerrorMessage(connection_), "", ""};
  Listener* listener = listener_;
  Close();
  if (listener != nullptr) listener->OnBroken(std::move(error));
}

}  // namespace twi::sql

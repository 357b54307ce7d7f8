#include "sql/connection.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sql/primary.h"
#include "sql/session_settings.h"
#include "sql/transfer.h"

namespace twi::sql {
namespace {

std::string Field(const PGresult* result, int code) {
  const char* value = PQresultErrorField(result, code);
  return value ? value : "";
}

/// The number of the placeholder that the context of an error names: `unnamed portal parameter $2`.
int ParameterOf(const std::string& context) {
  const size_t dollar = context.find("parameter $");
  return dollar == context.npos ? 0 : std::atoi(context.c_str() + context.find('$', dollar) + 1);
}

/// The server does not have the statement any more, or its rows would be of other types than those
/// it was prepared for. Messages are in the server's language, functions are not.
bool IsStale(const PGresult* result, const DatabaseError& error) {
  return error.sqlstate == "26000" ||
         (error.sqlstate == "0A000" &&
          Field(result, PG_DIAG_SOURCE_FUNCTION) == "RevalidateCachedQuery");
}

std::chrono::steady_clock::time_point WornAt(absl::Duration lifetime) {
  std::random_device random;
  const double jitter = std::uniform_real_distribution(0.0, 0.1)(random);
  return std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(lifetime * (1 - jitter));
}

// How long the server has to let go of a connection.
constexpr std::chrono::seconds kLeave{1};

/// A socket of which we wait for the other end to close.
struct LeftSocket : std::enable_shared_from_this<LeftSocket> {
  LeftSocket(asio::any_io_executor executor, int descriptor, std::function<void()> done)
      : socket(executor, descriptor), timer(executor), gone(std::move(done)) {}

  void Wait() {
    timer.expires_after(kLeave);
    timer.async_wait([self = shared_from_this()](const std::error_code& error) {
      if (!error) self->socket.cancel();
    });
    Read();
  }
  void Read() {
    socket.async_read_some(asio::buffer(bytes),
                           [self = shared_from_this()](const std::error_code& error, size_t) {
                             if (!error) return self->Read();
                             self->timer.cancel();
                             self->gone();
                           });
  }

  asio::posix::stream_descriptor socket;
  asio::steady_timer timer;
  const std::function<void()> gone;
  std::array<char, 256> bytes;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Connection>> Connection::Open(const ConnectionOptions& options,
                                                             asio::io_context& loop) {
  const std::string timeout =
      absl::StrCat(std::max<int64_t>(2, absl::ToInt64Seconds(options.connect_timeout)));
  PGconn* raw = ConnectToPrimary(options.dsn, timeout, "twi-data", /*replication=*/false);
  std::shared_ptr<Connection> connection(new Connection(raw, loop, options));
  if (PQstatus(raw) != CONNECTION_OK) {
    return Error(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", PQerrorMessage(raw));
  }
  PQsetNoticeReceiver(raw, TakeNotice, connection.get());
  PGresult* configured = PQexec(raw, connection->settings_.text.c_str());
  const bool ok = PQresultStatus(configured) == PGRES_TUPLES_OK;
  PQclear(configured);
  if (!ok || PQsetnonblocking(raw, 1) != 0 || PQenterPipelineMode(raw) != 1) {
    return Error(absl::StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", PQerrorMessage(raw));
  }
  return connection;
}

Connection::Connection(PGconn* connection, asio::io_context& loop, const ConnectionOptions& options)
    : connection_(connection),
      socket_(loop),
      settings_(SessionSettings(options)),
      worn_at_(WornAt(options.lifetime)) {}

Connection::~Connection() { Close(); }

DatabaseError Connection::ErrorOf(const PGresult* result) {
  DatabaseError error;
  error.sqlstate = Field(result, PG_DIAG_SQLSTATE);
  error.message = Field(result, PG_DIAG_MESSAGE_PRIMARY);
  error.constraint = Field(result, PG_DIAG_CONSTRAINT_NAME);
  error.column = Field(result, PG_DIAG_COLUMN_NAME);
  error.table = Field(result, PG_DIAG_TABLE_NAME);
  error.position = std::atoi(Field(result, PG_DIAG_STATEMENT_POSITION).c_str());
  error.parameter = ParameterOf(ContextOf(result));
  return error;
}

std::string Connection::ContextOf(const PGresult* result) { return Field(result, PG_DIAG_CONTEXT); }

void Connection::Listen(Listener* listener) {
  listener_ = listener;
  socket_.assign(PQsocket(connection_));
  WaitReadable();
}

void Connection::Close() {
  listener_ = nullptr;
  if (connection_ == nullptr) return;
  broken_ = true;
  transfer_.reset();
  // The descriptor is libpq's to close.
  if (socket_.is_open()) socket_.release();
  PQfinish(std::exchange(connection_, nullptr));
}

void Connection::Leave(std::function<void()> gone) {
  // A second descriptor outlives the end of libpq's, so that the server's own end is seen: a server
  // process counts until it is gone. Not one that sends a COPY, which only that end would stop.
  const bool sends = transfer_ != nullptr && !transfer_->in();
  const int end =
      connection_ == nullptr || sends ? -1 : fcntl(PQsocket(connection_), F_DUPFD_CLOEXEC, 0);
  Close();
  // A server that reads a COPY takes libpq's farewell for a part of it.
  if (end >= 0) shutdown(end, SHUT_WR);
  if (end < 0) return asio::post(socket_.get_executor(), std::move(gone));
  std::make_shared<LeftSocket>(socket_.get_executor(), end, std::move(gone))->Wait();
}

Connection::Transaction Connection::transaction() const {
  switch (PQtransactionStatus(connection_)) {
    case PQTRANS_IDLE:
      return Transaction::kNone;
    case PQTRANS_INERROR:
      return Transaction::kFailed;
    default:
      return Transaction::kOpen;
  }
}

std::string Connection::NameOf(const Statement& statement, int generation) const {
  if (generation == 0 || statement.name.empty()) return statement.name;
  // PostgreSQL tells names apart by their first 63 bytes.
  return absl::StrCat("~", generation, " ", statement.name).substr(0, 63);
}

void Connection::Forget(const Statement& statement, const DatabaseError& error) {
  ++generation_;
  prepared_.erase(&statement);
  // Who took one from us took them all.
  if (error.sqlstate == "26000") prepared_.clear();
}

std::string Connection::Prepare(const Statement& statement) {
  bool fresh = true;
  int generation = generation_;
  if (!statement.name.empty()) {
    const auto [prepared, inserted] = prepared_.try_emplace(&statement, generation);
    fresh = inserted;
    generation = prepared->second;
  } else {
    fresh = std::exchange(unnamed_, &statement) != &statement;
  }
  std::string name = NameOf(statement, generation);
  if (fresh) {
    answers_.push_back({Expected::kPrepare, &statement});
    if (!PQsendPrepare(connection_, name.c_str(), statement.text.c_str(),
                       static_cast<int>(statement.types.size()), statement.types.data())) {
      PostBreak();
    }
  }
  return name;
}

void Connection::Describe(const Statement& statement) {
  if (broken_) return;
  const std::string name = Prepare(statement);
  answers_.push_back({Expected::kExecution, &statement});
  if (!PQsendDescribePrepared(connection_, name.c_str())) PostBreak();
}

void Connection::Send(const Statement& statement, const Parameters& parameters) {
  if (broken_) return;
  const std::string name = Prepare(statement);
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
    formats[i] = statement.raw ? 0 : 1;
  }
  answers_.push_back({Expected::kExecution, &statement});
  if (!PQsendQueryPrepared(connection_, name.c_str(), count, values, lengths, formats,
                           /*resultFormat=*/statement.raw ? 0 : 1)) {
    PostBreak();
  }
}

void Connection::RequestAnswers() {
  if (!broken_ && !PQsendFlushRequest(connection_)) PostBreak();
}

void Connection::Sync() {
  if (broken_) return;
  answers_.push_back({Expected::kSync, nullptr});
  unnamed_ = nullptr;
  if (!PQpipelineSync(connection_)) PostBreak();
}

void Connection::Reset() {
  for (const Statement& statement : Resets()) Send(statement, {});
  Send(settings_, {});
  Sync();
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
  reading_ = true;
  socket_.async_wait(asio::posix::descriptor_base::wait_read,
                     [self = shared_from_this()](const std::error_code& error) {
                       self->reading_ = false;
                       if (error || self->broken_) return;
                       if (self->transfer_ != nullptr) return self->transfer_->Hear();
                       const bool counts = self->listener_->CountsBytes();
                       const size_t waiting = counts ? self->BytesWaiting() : 0;
                       if (!PQconsumeInput(self->connection_)) return self->Break();
                       if (counts) {
                         const size_t left = self->BytesWaiting();
                         self->listener_->OnBytes(waiting - std::min(waiting, left));
                       }
                       self->Receive();
                       if (!self->broken_) self->WaitReadable();
                     });
}

size_t Connection::BytesWaiting() {
  int count = 0;
  return ioctl(PQsocket(connection_), FIONREAD, &count) == 0 ? static_cast<size_t>(count) : 0;
}

void Connection::WaitWritable() {
  waiting_writable_ = true;
  socket_.async_wait(asio::posix::descriptor_base::wait_write,
                     [self = shared_from_this()](const std::error_code& error) {
                       self->waiting_writable_ = false;
                       if (error || self->broken_) return;
                       self->transfer_ != nullptr ? self->transfer_->Move() : self->Flush();
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
  if (!broken_ && PQstatus(connection_) != CONNECTION_OK) return Break();
  if (!broken_ && answers_.empty()) ReceiveUnasked();
}

void Connection::ReceiveUnasked() {
  while (PGnotify* notification = PQnotifies(connection_)) PQfreemem(notification);
}

void Connection::TakeNotice(void* connection, const PGresult* notice) {
  const auto self = static_cast<Connection*>(connection);
  ++self->notices_;
  const std::string severity = Field(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
  if (severity == "FATAL" || severity == "PANIC") self->farewell_ = ErrorOf(notice);
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
  if (answer.expected == Expected::kExecution && IsStale(result, error)) {
    error.stale = true;
    Forget(*answer.statement, error);
  }
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
  DatabaseError error = std::move(farewell_);
  if (error.message.empty()) error.message = PQerrorMessage(connection_);
  Listener* listener = listener_;
  Close();
  if (listener != nullptr) listener->OnBroken(std::move(error));
}

}  // namespace twi::sql

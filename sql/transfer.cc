#include "sql/transfer.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <asio/post.hpp>
#include <utility>

#include "sql/connection.h"

namespace twi::sql {
namespace {

// With the 5 bytes before it, what libpq writes at a time. A socket that is writable takes that
// whole. Of one that does not, libpq reads on its own, and no readiness follows for an error.
constexpr size_t kBlock = 8192 - 5;
// After which others on the loop have their turn.
constexpr int kBlocksATurn = 16;
constexpr size_t kChunk = 64 * 1024;

/// Which of POLLIN and POLLOUT a connection's socket is ready for.
short Readiness(const PGconn* connection) {
  pollfd socket = {PQsocket(connection), POLLIN | POLLOUT, 0};
  return poll(&socket, 1, 0) == 1 ? socket.revents : short{0};
}

}  // namespace

Transfer::Transfer(Connection* connection, std::shared_ptr<Copying> copying)
    : connection_(*connection), raw_(connection->connection_), copying_(std::move(copying)) {}

void Transfer::Start() {
  // By the simple protocol: by the other one, an error that comes before the statement's own Sync
  // would be followed by two answers to Syncs.
  if (!PQexitPipelineMode(raw_) || !PQsendQuery(raw_, copying_->statement().text.c_str())) {
    return Break();
  }
  Flush();
}

void Transfer::Flush() {
  if (connection_.waiting_writable_) return;
  const int rest = PQflush(raw_);
  if (rest < 0) return Break();
  if (rest == 0) return;
  connection_.WaitWritable();
  // See Connection::Flush.
  Post();
}

void Transfer::Move() {
  if (connection_.broken()) return;
  if (phase_ != Phase::kMoving) return Collect();
  in() ? Push() : Pull();
}

void Transfer::Collect() {
  Flush();
  while (!PQisBusy(raw_)) {
    PGresult* const result = PQgetResult(raw_);
    if (result == nullptr) {
      if (PQstatus(raw_) != CONNECTION_OK) return Break();
      return connection_.EndCopy(error_);
    }
    const Rows rows(result);
    switch (PQresultStatus(result)) {
      case PGRES_COPY_IN:
      case PGRES_COPY_OUT:
        phase_ = Phase::kMoving;
        copying_->Begun();
        return Move();
      case PGRES_COMMAND_OK:
        copying_->rows = rows.affected();
        break;
      default:
        error_ = Connection::ErrorOf(result);
        if (in()) {
          Locate(Connection::ContextOf(result), copying_->statement().table, &*error_);
        }
    }
  }
  if (PQstatus(raw_) != CONNECTION_OK) Break();
}

void Transfer::Push() {
  if (giving_up_) return End(copying_->reason().c_str());
  for (int blocks = 0; blocks < kBlocksATurn; ++blocks) {
    if (sent_ == outgoing_.size()) {
      sent_ = 0;
      switch (copying_->Take(&outgoing_)) {
        case Copying::Piece::kNone:
          return Flush();
        case Copying::Piece::kEnd:
          copying_->end_sent = true;
          return End(nullptr);
        case Copying::Piece::kSome:
          break;
      }
    }
    if (!PushBlock()) return;
  }
  Post();
}

bool Transfer::PushBlock() {
  if (doubted_ || connection_.waiting_writable_) return false;
  const short ready = Readiness(raw_);
  if ((ready & ~POLLOUT) != 0) {
    if (!Consume()) return false;
    if (doubted_) return false;
  }
  if ((ready & POLLOUT) == 0) {
    connection_.WaitWritable();
    return false;
  }
  const size_t size = std::min(kBlock, outgoing_.size() - sent_);
  const int taken = PQputCopyData(raw_, outgoing_.data() + sent_, static_cast<int>(size));
  if (taken < 0) {
    Break();
  } else if (taken == 0) {
    connection_.WaitWritable();
  } else {
    sent_ += size;
  }
  return taken > 0;
}

void Transfer::End(const char* reason) {
  phase_ = Phase::kEnding;
  if (PQputCopyEnd(raw_, reason) < 0) return Break();
  Collect();
}

void Transfer::Pull() {
  if (!giving_up_ && !copying_->asked()) return;
  if (!connection_.reading_) {
    if (!Consume()) return;
    connection_.WaitReadable();
  }
  while (true) {
    char* row = nullptr;
    const int size = PQgetCopyData(raw_, &row, /*async=*/1);
    if (size == -1) break;
    if (size < -1) return Break();
    if (size == 0) {
      if (giving_up_ || (Readiness(raw_) & ~POLLOUT) == 0) return;
      if (!Consume()) return;
      continue;
    }
    if (!giving_up_) chunk_.append(row, static_cast<size_t>(size));
    PQfreemem(row);
    if (chunk_.size() >= kChunk) return Give();
  }
  phase_ = Phase::kEnding;
  if (!chunk_.empty()) Give();
  Collect();
}

void Transfer::Hear() {
  if (phase_ == Phase::kMoving && !in() && !giving_up_ && !copying_->asked()) return;
  // Somebody else may have read it: then there is nothing to doubt.
  if ((Readiness(raw_) & ~POLLOUT) != 0 && !Consume()) return;
  connection_.WaitReadable();
  Move();
}

void Transfer::Give() {
  std::string chunk;
  chunk.swap(chunk_);
  copying_->Give(std::move(chunk));
}

bool Transfer::Consume() {
  const int64_t notices = connection_.notices_;
  if (!PQconsumeInput(raw_)) {
    Break();
    return false;
  }
  if (phase_ != Phase::kMoving || !in()) return true;
  // Takes the notices.
  PQisBusy(raw_);
  doubted_ = connection_.notices_ == notices;
  looked_ = false;
  return true;
}

void Transfer::Look() {
  if (phase_ != Phase::kMoving) return;
  if (!chunk_.empty()) return Give();
  // The other half of a notice would have come before the second look.
  if (doubted_ && std::exchange(looked_, true)) End("the database had ended it");
}

void Transfer::GiveUp() {
  if (std::exchange(giving_up_, true)) return;
  chunk_.clear();
  Post();
}

void Transfer::Break() {
  if (error_) connection_.farewell_ = *error_;
  connection_.PostBreak();
}

void Transfer::Post() {
  asio::post(connection_.socket_.get_executor(), [connection = connection_.shared_from_this()] {
    if (connection->transfer_ != nullptr) connection->transfer_->Move();
  });
}

void Connection::Begin(std::shared_ptr<Copying> copying) {
  if (broken_) return;
  transfer_ = std::make_unique<Transfer>(this, std::move(copying));
  transfer_->Start();
}

void Connection::EndCopy(const std::optional<DatabaseError>& error) {
  // It calls this.
  const std::unique_ptr<Transfer> over = std::move(transfer_);
  if (!PQenterPipelineMode(connection_)) return PostBreak();
  if (!reading_) WaitReadable();
  if (error) {
    listener_->OnError(*error);
  } else {
    listener_->OnRows(Rows());
  }
  listener_->OnSync(nullptr);
}

}  // namespace twi::sql

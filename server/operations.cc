#include "server/operations.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/method.h"
#include "server/record.h"
#include "sql/errors.h"

namespace twi::server {

using google::protobuf::Message;
using repositories::Chunk;
using repositories::Operation;
using repositories::Tally;

Task<absl::Status> Operations::Run(Call& call, sql::Execution& execution) {
  execution.deadline = call.deadline();
  execution.cancelled = &call.cancelled();
  co_await pool_->Run(execution);
  RecordRun(*call.method(), execution, slow_);
  co_return execution.status;
}

Task<absl::Status> Operations::Answer(Call& call, const Message& request, std::string* response) {
  const Operation& operation = *call.method()->operation;
  sql::Execution execution;
  absl::Status status = operation.Bind(request, &execution);
  if (!status.ok()) co_return status;
  Task<absl::Status> running = Run(call, execution);
  status = co_await running;
  if (status.ok()) status = operation.Encode(execution.rows, request, response);
  co_return status;
}

Task<absl::Status> Operations::Send(Call& call, Message* request) {
  const Operation& operation = *call.method()->operation;
  Stream stream(&call);
  Task<absl::StatusOr<bool>> reading = stream.Read(request);
  const absl::StatusOr<bool> read = co_await reading;
  if (!read.ok()) co_return read.status();
  if (!*read) {
    co_return sql::Error(absl::StatusCode::kUnimplemented, "CALL_REFUSED",
                         "a call without a request");
  }
  Operation::Progress progress;
  while (!progress.complete) {
    sql::Execution execution;
    absl::Status status = operation.BindPortion(*request, progress, &execution);
    if (!status.ok()) co_return status;
    Task<absl::Status> running = Run(call, execution);
    status = co_await running;
    if (!status.ok()) co_return status;
    std::string portion;
    status = operation.EncodePortion(execution.rows, &progress, &portion);
    if (!status.ok()) co_return status;
    if (portion.empty()) break;
    Task<bool> writing = stream.WriteBytes(std::move(portion));
    const bool written = co_await writing;
    if (!written) co_return absl::CancelledError("the client is gone");
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Operations::Take(Call& call, std::string* response) {
  const Operation& operation = *call.method()->operation;
  // Not on an arena, which would keep what each of many requests held.
  const std::unique_ptr<Message> request(call.method()->request->New());
  Stream stream(&call);
  Tally tally;
  absl::Status status;
  bool pending = false;
  for (;;) {
    Chunk chunk;
    Task<absl::Status> filling = Fill(stream, request.get(), &pending, &chunk);
    status = co_await filling;
    if (!status.ok() || chunk.requests == 0) break;
    const int requests = chunk.requests;
    sql::Execution execution;
    operation.BindChunk(std::move(chunk), &execution);
    Task<absl::Status> running = Run(call, execution);
    status = co_await running;
    if (!status.ok()) break;
    tally.requests += requests;
    status = operation.AddChunk(execution.rows, &tally);
    if (!status.ok()) break;
  }
  if (status.ok()) {
    operation.EncodeTally(tally, response);
  } else {
    sql::AddFact(&status, "requests_done", absl::StrCat(tally.requests));
  }
  co_return status;
}

Task<absl::Status> Operations::Fill(Stream& stream, Message* request, bool* pending, Chunk* chunk) {
  const Operation& operation = *stream.call().method()->operation;
  for (;;) {
    if (!std::exchange(*pending, false)) {
      Task<absl::StatusOr<bool>> reading = stream.Read(request);
      const absl::StatusOr<bool> read = co_await reading;
      if (!read.ok()) co_return read.status();
      if (!*read) co_return absl::OkStatus();
    }
    const absl::StatusOr<bool> joined = operation.Join(*request, chunk);
    if (!joined.ok()) co_return joined.status();
    *pending = !*joined;
    if (*pending) co_return absl::OkStatus();
  }
}

}  // namespace twi::server

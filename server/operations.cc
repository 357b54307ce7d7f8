#include "server/operations.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/method.h"
#include "server/record.h"
#include "server/run.h"
#include "sql/errors.h"
#include "sql/session.h"

namespace twi::server {

using google::protobuf::Message;
using repositories::Chunk;
using repositories::Operation;
using repositories::Tally;

Task<absl::Status> Operations::Answer(Call& call, const Message& request, std::string* response,
                                      Footprint* footprint) {
  const Operation& operation = *call.method()->operation;
  Run run(call, *pool_, slow_);
  absl::Status status = operation.Bind(request, &run.execution());
  if (!status.ok()) co_return status;
  run.execution().wants_snapshot = footprint != nullptr && operation.read_only();
  run.execution().wants_transaction = footprint != nullptr && !operation.read_only();
  status = co_await run;
  if (!status.ok()) co_return status;
  if (footprint != nullptr) *footprint = {run.execution().snapshot, run.execution().transaction};
  co_return operation.Encode(run.execution().rows, request, response);
}

Task<absl::Status> Operations::Send(Call& call, Message* request) {
  const Operation& operation = *call.method()->operation;
  Stream stream(&call);
  Task<absl::Status> reading = stream.ReadFirst(request);
  const absl::Status read = co_await reading;
  if (!read.ok()) co_return read;
  Operation::Progress progress;
  while (!progress.complete) {
    Run run(call, *pool_, slow_);
    absl::Status status = operation.BindPortion(*request, progress, &run.execution());
    if (!status.ok()) co_return status;
    status = co_await run;
    if (!status.ok()) co_return status;
    std::string portion;
    status = operation.EncodePortion(run.execution().rows, &progress, &portion);
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
  Tally tally;
  Task<absl::Status> taking =
      operation.one_transaction() ? TakeWhole(call, &tally) : TakeChunks(call, nullptr, &tally);
  absl::Status status = co_await taking;
  if (status.ok()) {
    operation.EncodeTally(tally, response);
  } else {
    sql::AddFact(&status, "requests_done", absl::StrCat(tally.requests));
  }
  co_return status;
}

Task<absl::Status> Operations::TakeWhole(Call& call, Tally* tally) {
  sql::Loan loan;
  loan.deadline = call.deadline();
  loan.cancelled = &call.cancelled();
  loan.flow = call.flow();
  co_await pool_->Lend(loan);
  if (!loan.status.ok()) co_return loan.status;

  sql::Execution begin;
  begin.statement = &sql::kBegin;
  Task<absl::Status> beginning = RunIn(call, loan.lease, begin);
  absl::Status status = co_await beginning;
  if (!status.ok()) co_return status;

  Tally taken;
  Task<absl::Status> taking = TakeChunks(call, &loan.lease, &taken);
  status = co_await taking;
  if (!status.ok()) co_return status;
  // A client that is gone ends its requests like one that has sent them all.
  if (call.cancelled()) co_return sql::GaveUp();

  sql::Execution commit;
  commit.statement = &sql::kCommit;
  Task<absl::Status> committing = RunIn(call, loan.lease, commit);
  status = co_await committing;
  if (status.ok()) *tally = std::move(taken);
  co_return status;
}

Task<absl::Status> Operations::TakeChunks(Call& call, sql::Lease* lease, Tally* tally) {
  const Operation& operation = *call.method()->operation;
  // Not on an arena, which would keep what each of many requests held.
  const std::unique_ptr<Message> request(call.method()->request->New());
  Stream stream(&call);
  bool pending = false;
  for (;;) {
    Chunk chunk;
    Task<absl::Status> filling = Fill(stream, request.get(), &pending, &chunk);
    absl::Status status = co_await filling;
    if (!status.ok() || chunk.requests == 0) co_return status;
    const int requests = chunk.requests;
    Run run(call, *pool_, slow_);
    operation.BindChunk(std::move(chunk), &run.execution());
    if (lease == nullptr) {
      status = co_await run;
    } else {
      const auto submitted = sql::Clock::now();
      Task<absl::Status> running = RunIn(call, *lease, run.execution());
      status = co_await running;
      RecordRun(*call.method(), run.execution(), submitted, slow_, call.trace().get());
    }
    if (!status.ok()) co_return status;
    tally->requests += requests;
    status = operation.AddChunk(run.execution().rows, tally);
    if (!status.ok()) co_return status;
  }
}

Task<absl::Status> Operations::RunIn(Call& call, sql::Lease& lease, sql::Execution& execution) {
  execution.deadline = call.deadline();
  execution.cancelled = &call.cancelled();
  co_await lease.Run(execution);
  co_return execution.status;
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

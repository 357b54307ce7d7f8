#include "server/services/transaction.h"

#include <atomic>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "repositories/violations.h"
#include "server/method.h"
#include "server/services/copy_text.h"
#include "server/wire.h"
#include "sql/errors.h"

namespace twi::server {

using data::v1::CallStep;
using data::v1::Query;
using google::protobuf::Message;
using sql::RawTexts;

Task<absl::Status> DatabaseService::Transaction(Stream stream) {
  Conversation conversation(*this, stream);
  Task<absl::Status> running = conversation.Run();
  absl::Status status = co_await running;
  co_return status;
}

bool DatabaseService::Conversation::GoesOn(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kInternal:
      return false;
    default:
      return sql::Reason(status) != "TRANSACTION_IDLE";
  }
}

Task<absl::Status> DatabaseService::Conversation::Run() {
  Call& call = stream_.call();
  Request request;
  Task<absl::Status> first = stream_.ReadFirst(&request);
  absl::Status status = co_await first;
  if (!status.ok()) co_return status;
  if (!request.has_begin()) co_return repositories::Wrong("begin", "must be the first step");
  // Not before: who never begins must not keep others out.
  std::atomic<int>& open = service_.transactions_;
  const absl::Cleanup ended = [&open] { open.fetch_sub(1); };
  if (open.fetch_add(1) >= service_.most_transactions_) {
    co_return sql::Error(
        absl::StatusCode::kResourceExhausted, "OVERLOADED",
        absl::StrCat("there are ", service_.most_transactions_, " transactions open already"));
  }
  const data::v1::Begin begin = request.begin();
  RawSession session(call, service_.context_,
                     LimitOf(call, begin.has_timeout() ? &begin.timeout() : nullptr));
  Task<absl::Status> opening = session.Open();
  status = co_await opening;
  if (!status.ok()) co_return status;
  Task<absl::Status> beginning = session.Begin(begin);
  status = co_await beginning;
  if (!status.ok()) co_return status;

  Response response;
  response.mutable_done();
  absl::StatusOr<bool> read = true;
  for (;;) {
    Task<bool> writing = stream_.Write(response);
    const bool written = co_await writing;
    if (!written) co_return absl::CancelledError("the client is gone");
    request.Clear();
    response.Clear();
    Task<absl::StatusOr<bool>> reading = stream_.Read(&request);
    read = co_await reading;
    if (!read.ok()) co_return read.status();
    if (call.cancelled()) co_return sql::GaveUp();
    // Who ends without a commit wants none.
    if (!*read || request.has_rollback()) break;
    if (request.has_commit()) {
      Task<absl::Status> committing = session.Commit();
      status = co_await committing;
      if (!begin.read_only()) {
        Task<absl::Status> settling = service_.Settled(call, std::move(status));
        status = co_await settling;
      }
      if (!status.ok()) co_return status;
      response.mutable_committed();
      Task<bool> telling = stream_.Write(response);
      co_await telling;
      co_return absl::OkStatus();
    }
    Task<absl::Status> stepping = Step(session, request, &response);
    status = co_await stepping;
    if (status.ok()) continue;
    if (!GoesOn(status)) co_return status;
    response.Clear();
    const grpc::Status told = ToGrpc(status, call.method()->name);
    response.mutable_error()->ParseFromString(told.error_details());
  }
  Task<absl::Status> rolling = session.Rollback();
  status = co_await rolling;
  if (!status.ok() || !*read) co_return status;
  response.mutable_rolled_back();
  Task<bool> telling = stream_.Write(response);
  co_await telling;
  co_return absl::OkStatus();
}

Task<absl::Status> DatabaseService::Conversation::Step(RawSession& session, const Request& request,
                                                       Response* response) {
  switch (request.step_case()) {
    case Request::kExecute:
      return Fetch(session, request.execute(), "execute", RawSession::kAllRows, response);
    case Request::kFetch: {
      const int limit = request.fetch().limit();
      return Fetch(session, request.fetch().query(), "fetch.query",
                   limit == 0 ? RawSession::kAllRows : limit, response);
    }
    case Request::kExecuteMany:
      return ExecuteMany(session, request.execute_many(), response);
    case Request::kCopy:
      return Copy(session, request.copy(), response);
    case Request::kCall:
      return CallOperation(session, request.call(), response);
    case Request::kSavepoint:
      return Command(session, "savepoint", request.savepoint(), response);
    case Request::kRollbackTo:
      return Command(session, "rollback to savepoint", request.rollback_to(), response);
    case Request::kRelease:
      return Command(session, "release savepoint", request.release(), response);
    default:
      return Refuse(repositories::Wrong("begin", "must be the first step only"));
  }
}

Task<absl::Status> DatabaseService::Conversation::Refuse(absl::Status status) { co_return status; }

Task<absl::Status> DatabaseService::Conversation::ExecuteMany(RawSession& session,
                                                              const data::v1::ExecuteManyStep& step,
                                                              Response* response) {
  const absl::StatusOr<RawTexts::Text> text = service_.TextOf(session.call(), step.sql());
  if (!text.ok()) co_return text.status();
  Task<absl::Status> running = session.RunMany(*text, step.rows(), 1, response->mutable_many());
  absl::Status status = co_await running;
  co_return status;
}

Task<absl::Status> DatabaseService::Conversation::Fetch(RawSession& session, const Query& query,
                                                        std::string field, int most_rows,
                                                        Response* response) {
  const absl::StatusOr<RawTexts::Text> text = service_.TextOf(session.call(), query);
  if (!text.ok()) co_return text.status();
  Task<absl::Status> running =
      session.Run(*text, query.parameters(), absl::StrCat(field, ".parameters"), most_rows,
                  response->mutable_outcome());
  absl::Status status = co_await running;
  co_return status;
}

Task<absl::Status> DatabaseService::Conversation::Copy(RawSession& session,
                                                       const data::v1::CopyStep& step,
                                                       Response* response) {
  constexpr auto kFormat = data::v1::COPY_FORMAT_TEXT;
  std::string bytes;
  int64_t rows = 0;
  absl::Status status = AppendRows(step.rows(), kFormat, &rows, &bytes);
  if (!status.ok()) co_return status;
  Call& call = session.call();
  const sql::Clock::time_point begun = sql::Clock::now();
  sql::CopyIn copy(session.lease(), {.text = CopyInText(step.table(), step.columns(), kFormat),
                                     .deadline = session.deadline(),
                                     .cancelled = &call.cancelled()});
  status = co_await copy.Begin();
  if (status.ok()) status = co_await copy.Put(bytes);
  if (status.ok()) status = co_await copy.End();
  RecordCopy(call, copy.outcome(), begun, session.context().slow);
  response->mutable_many()->set_row_count(rows);
  response->mutable_many()->set_affected_rows(copy.outcome().rows);
  co_return status;
}

Task<absl::Status> DatabaseService::Conversation::CallOperation(RawSession& session,
                                                                const CallStep& step,
                                                                Response* response) {
  const auto found = service_.operations_.find(step.operation());
  if (found == service_.operations_.end()) {
    co_return repositories::Wrong("call.operation", "must be a unary operation");
  }
  const auto& [operation, validator] = found->second;
  const auto* method = operation->method();
  const std::unique_ptr<Message> request(google::protobuf::MessageFactory::generated_factory()
                                             ->GetPrototype(method->input_type())
                                             ->New());
  if (!step.request().UnpackTo(request.get())) {
    co_return repositories::Wrong("call.request",
                                  absl::StrCat("must be a ", method->input_type()->full_name()));
  }
  absl::Status status = validator.Check(request.get());
  if (!status.ok()) co_return status;
  sql::Execution execution;
  status = operation->Bind(*request, &execution);
  if (!status.ok()) co_return status;
  Task<absl::Status> running = session.Run(execution);
  status = co_await running;
  if (!status.ok()) co_return status;
  std::string bytes;
  status = operation->Encode(execution.rows, *request, &bytes);
  response->mutable_response()->set_type_url(
      absl::StrCat("type.googleapis.com/", method->output_type()->full_name()));
  response->mutable_response()->set_value(std::move(bytes));
  co_return status;
}

Task<absl::Status> DatabaseService::Conversation::Command(RawSession& session, std::string words,
                                                          const std::string& name,
                                                          Response* response) {
  // The text ends at a zero byte, with the name still open.
  if (name.find('\0') != name.npos)
    co_return repositories::Wrong("name", "must not contain U+0000");
  const sql::Statement statement = {
      .name = "", .text = absl::StrCat(words, " ", Quoted(name)), .raw = true};
  sql::Execution execution;
  execution.statement = &statement;
  Task<absl::Status> running = session.Run(execution);
  absl::Status status = co_await running;
  if (status.ok()) response->mutable_done();
  co_return status;
}

}  // namespace twi::server

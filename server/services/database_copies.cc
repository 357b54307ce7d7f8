#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "repositories/violations.h"
#include "server/method.h"
#include "server/record.h"
#include "server/services/copy_text.h"
#include "server/services/database.h"
#include "sql/copy.h"
#include "sql/errors.h"
#include "sql/text.h"

// The methods of DatabaseService that COPY.

namespace twi::server {

using data::v1::CopyInRequest;
using data::v1::CopyInResponse;
using data::v1::CopyOutRequest;
using data::v1::CopyOutResponse;

Task<absl::Status> DatabaseService::CopyIn(Stream stream) {
  CopyInRequest request;
  Task<absl::Status> first = stream.ReadFirst(&request);
  absl::Status status = co_await first;
  if (!status.ok()) co_return status;
  if (request.table().empty()) {
    co_return repositories::Wrong("table", "must be set");
  }
  Call& call = stream.call();
  const data::v1::CopyFormat format = request.format();
  const google::protobuf::Duration timeout = request.timeout();
  const auto deadline = LimitOf(call, request.has_timeout() ? &timeout : nullptr);
  RawSession session(call, context_, deadline);
  Task<absl::Status> opening = session.Open();
  status = co_await opening;
  if (status.ok() && session.read_only()) {
    Task<absl::Status> beginning = session.Begin({});
    status = co_await beginning;
  }
  if (!status.ok()) co_return status;

  const sql::Clock::time_point begun = sql::Clock::now();
  sql::CopyIn copy(session.lease(), {.text = CopyInText(request.table(), request.columns(), format),
                                     .deadline = deadline,
                                     .cancelled = &call.cancelled()});
  status = co_await copy.Begin();
  std::string bytes;
  absl::StatusOr<bool> read = true;
  for (int64_t rows = 0; status.ok() && *read;) {
    bytes.clear();
    status = AppendRows(request.rows(), format, &rows, &bytes);
    if (status.ok()) {
      bytes.append(request.data());
      status = co_await copy.Put(bytes);
    }
    if (!status.ok()) break;
    request.Clear();
    Task<absl::StatusOr<bool>> next = stream.Read(&request);
    read = co_await next;
    status = read.status();
    if (status.ok() && *read && !request.table().empty()) {
      status = repositories::Wrong("table", "must be in the first message only");
    }
  }
  // A client that is gone ends its requests like one that has sent them all.
  if (status.ok() && call.cancelled()) status = sql::GaveUp();
  if (status.ok()) {
    status = co_await copy.End();
  } else if (!copy.over()) {
    const absl::Status aborted = co_await copy.Abort(ToStd(status.message()));
    aborted.IgnoreError();
  }
  RecordCopy(call, copy.outcome(), begun, context_.slow);
  CopyInResponse response;
  response.set_row_count(copy.outcome().rows);
  if (status.ok()) stream.Answer(response);
  Task<absl::Status> settling = Settled(call, std::move(status));
  status = co_await settling;
  co_return status;
}

Task<absl::Status> DatabaseService::CopyOut(Stream stream) {
  CopyOutRequest request;
  Task<absl::Status> first = stream.ReadFirst(&request);
  absl::Status status = co_await first;
  if (!status.ok()) co_return status;
  Call& call = stream.call();
  bool read_only = true;
  if (request.has_query()) {
    const absl::StatusOr<sql::RawTexts::Text> text = TextOf(call, request.query());
    if (!text.ok()) co_return text.status();
    read_only = (*text)->statement.read_only;
  }
  const auto deadline = LimitOf(call, request.has_timeout() ? &request.timeout() : nullptr);
  RawSession session(call, context_, deadline);
  Task<absl::Status> opening = session.Open();
  status = co_await opening;
  if (status.ok() && session.read_only()) {
    Task<absl::Status> beginning = session.Begin({});
    status = co_await beginning;
  }
  if (!status.ok()) co_return status;

  const sql::Clock::time_point begun = sql::Clock::now();
  sql::CopyOut copy(
      session.lease(),
      {.text = CopyOutText(request), .deadline = deadline, .cancelled = &call.cancelled()});
  status = co_await copy.Begin();
  while (status.ok()) {
    absl::StatusOr<std::string> bytes = co_await copy.Next();
    status = bytes.status();
    if (!status.ok() || bytes->empty()) break;
    CopyOutResponse response;
    response.set_data(*std::move(bytes));
    Task<bool> writing = stream.Write(response);
    const bool written = co_await writing;
    if (!written) status = absl::CancelledError("the client is gone");
  }
  if (!copy.over()) {
    const absl::Status aborted = co_await copy.Abort(ToStd(status.message()));
    aborted.IgnoreError();
  }
  RecordCopy(call, copy.outcome(), begun, context_.slow);
  Task<absl::Status> ending = session.Undo(std::move(status));
  status = co_await ending;
  if (!read_only) {
    Task<absl::Status> settling = Settled(call, std::move(status));
    status = co_await settling;
  }
  co_return status;
}

}  // namespace twi::server

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "repositories/violations.h"
#include "server/services/database.h"
#include "sql/errors.h"

// The methods of DatabaseService that stream in or out.

namespace twi::server {

using data::v1::ExecuteManyRequest;
using data::v1::ExecuteManyResponse;
using data::v1::ExecuteScriptRequest;
using data::v1::ExecuteScriptResponse;
using data::v1::ManyOutcome;
using data::v1::StreamFetchRequest;
using data::v1::StreamFetchResponse;
using data::v1::Table;
using google::protobuf::util::TimeUtil;
using sql::RawTexts;

namespace {

// A page is sent when it has so many bytes.
constexpr size_t kPageBytes = 1024 * 1024;
// What a fetch may take before it is given up.
constexpr size_t kMostFetched = 64 * 1024 * 1024;
// So many rows are fetched at first, when it is not known how large they are.
constexpr int kFirstRows = 50;

absl::Status Gone() { return absl::CancelledError("the client is gone"); }

}  // namespace

Task<absl::Status> DatabaseService::Converse(const google::protobuf::MethodDescriptor& method,
                                             Stream stream) {
  if (!offered_) co_return NotOffered();
  Task<absl::Status> conversing = method.name() == "ExecuteMany"     ? ExecuteMany(stream)
                                  : method.name() == "StreamFetch"   ? StreamFetch(stream)
                                  : method.name() == "CopyIn"        ? CopyIn(stream)
                                  : method.name() == "CopyOut"       ? CopyOut(stream)
                                  : method.name() == "ExecuteScript" ? ExecuteScript(stream)
                                                                     : Transaction(stream);
  absl::Status status = co_await conversing;
  co_return status;
}

Task<absl::Status> DatabaseService::ExecuteMany(Stream stream) {
  ExecuteManyRequest request;
  Task<absl::Status> first = stream.ReadFirst(&request);
  absl::Status status = co_await first;
  if (!status.ok()) co_return status;
  const absl::StatusOr<RawTexts::Text> text = TextOf(stream.call(), request.sql());
  if (!text.ok()) co_return text.status();
  Call& call = stream.call();
  const data::v1::RunOptions options = request.options();
  RawSession session(call, context_,
                     LimitOf(call, options.has_timeout() ? &options.timeout() : nullptr));
  Task<absl::Status> opening = session.Open();
  status = co_await opening;
  if (!status.ok()) co_return status;
  Task<absl::Status> beginning = session.Begin({});
  status = co_await beginning;

  ManyOutcome done;
  absl::StatusOr<bool> read = true;
  while (status.ok() && *read) {
    Task<absl::Status> running =
        session.RunMany(*text, request.rows(), done.row_count() + 1, &done);
    status = co_await running;
    if (!status.ok()) break;
    request.Clear();
    Task<absl::StatusOr<bool>> next = stream.Read(&request);
    read = co_await next;
    status = read.status();
    if (status.ok() && *read && !request.sql().empty()) {
      status = repositories::Wrong("sql", "must be in the first message only");
    }
  }
  // A client that is gone ends its requests like one that has sent them all.
  if (status.ok() && call.cancelled()) status = sql::GaveUp();
  if (!status.ok()) {
    Task<absl::Status> undoing = session.Undo(std::move(status));
    status = co_await undoing;
    co_return status;
  }
  Task<absl::Status> committing = session.Commit();
  status = co_await committing;
  ExecuteManyResponse response;
  response.set_row_count(done.row_count());
  response.set_affected_rows(done.affected_rows());
  if (status.ok()) stream.Answer(response);
  Task<absl::Status> settling = Settled(call, std::move(status));
  status = co_await settling;
  co_return status;
}

Task<absl::Status> DatabaseService::StreamFetch(Stream stream) {
  StreamFetchRequest request;
  Task<absl::Status> first = stream.ReadFirst(&request);
  absl::Status status = co_await first;
  if (!status.ok()) co_return status;
  Call& call = stream.call();
  const absl::StatusOr<RawTexts::Text> text = TextOf(call, request.query());
  if (!text.ok()) co_return text.status();
  if ((*text)->analysis.kind != sql::Analysis::Kind::kSelect || !(*text)->analysis.returns_rows) {
    co_return sql::Error(absl::StatusCode::kInvalidArgument, "SQL_INVALID",
                         "only the rows of SELECT, VALUES and TABLE are paged");
  }

  RawSession session(call, context_,
                     LimitOf(call, request.has_timeout() ? &request.timeout() : nullptr));
  Task<absl::Status> opening = session.Open();
  status = co_await opening;
  if (!status.ok()) co_return status;
  Task<absl::Status> beginning = session.Begin({});
  status = co_await beginning;
  if (!status.ok()) co_return status;
  sql::Statement declare = (*text)->statement;
  declare.name.clear();
  declare.text = absl::StrCat("declare twi_data_rows no scroll cursor for ", declare.text);
  sql::Execution declaring;
  declaring.statement = &declare;
  for (int i = 0; i < request.query().parameters_size(); ++i) {
    status =
        repositories::BindValue(request.query().parameters(i),
                                absl::StrCat("query.parameters[", i, "]"), &declaring.parameters);
    if (!status.ok()) co_return status;
  }
  Task<absl::Status> opened = session.Run(declaring);
  status = co_await opened;
  if (!status.ok()) co_return status;

  StreamFetchResponse page;
  size_t bytes = 0;  // Of the page.
  size_t all_bytes = 0;
  int64_t all_rows = 0;
  bool begun = false;
  for (bool more = true; more;) {
    // As many as fill the page, if they are like those before.
    const size_t mean = all_rows == 0 ? kPageBytes / kFirstRows : all_bytes / all_rows + 1;
    const auto fitting = static_cast<int>((kPageBytes - bytes) / mean);
    const int wanted = std::clamp(fitting, 1, request.page_size() - page.table().rows_size());
    const sql::Statement fetch = {
        .name = "", .text = absl::StrCat("fetch ", wanted, " from twi_data_rows"), .raw = true};
    sql::Execution fetching;
    fetching.statement = &fetch;
    fetching.most_bytes = kMostFetched;
    Task<absl::Status> run = session.Run(fetching);
    status = co_await run;
    if (!status.ok()) co_return status;
    const int size = fetching.rows.size();
    more = size == wanted;
    int next = 0;
    do {
      Table part;
      Task<absl::StatusOr<int>> reading =
          session.Read(fetching.rows, next, size, kPageBytes - bytes, &part);
      const absl::StatusOr<int> read_to = co_await reading;
      if (!read_to.ok()) co_return read_to.status();
      all_rows += *read_to - next;
      next = *read_to;
      if (std::exchange(begun, true)) part.clear_columns();
      all_bytes += part.ByteSizeLong();
      bytes = std::min(bytes + part.ByteSizeLong(), kPageBytes);
      page.mutable_table()->MergeFrom(part);
      const bool full = bytes == kPageBytes || page.table().rows_size() >= request.page_size();
      const bool last = next == size && !more;
      if (!full && !last && next == size) continue;
      Task<bool> writing = stream.Write(page);
      const bool written = co_await writing;
      if (!written) co_return Gone();
      page.Clear();
      bytes = 0;
    } while (next < size);
  }
  Task<absl::Status> committing = session.Commit();
  status = co_await committing;
  if (!(*text)->statement.read_only) {
    Task<absl::Status> settling = Settled(call, std::move(status));
    status = co_await settling;
  }
  co_return status;
}

Task<absl::Status> DatabaseService::ExecuteScript(Stream stream) {
  ExecuteScriptRequest request;
  Task<absl::Status> first = stream.ReadFirst(&request);
  absl::Status status = co_await first;
  if (!status.ok()) co_return status;
  Call& call = stream.call();
  const auto parts = sql::SplitScript(request.script());
  if (!parts.ok()) co_return parts.status();

  // All of it is looked at before any of it is run.
  std::vector<RawTexts::Text> texts;
  int number = 0;
  for (const sql::ScriptStatement& part : *parts) {
    ++number;
    const absl::StatusOr<RawTexts::Text> text = TextOf(call, part.text);
    status = text.status();
    if (!status.ok()) {
      sql::AddFact(&status, "statement", absl::StrCat(number));
      sql::AddFact(&status, "line", absl::StrCat(part.line));
      co_return status;
    }
    texts.push_back(*text);
  }

  RawSession session(call, context_,
                     LimitOf(call, request.has_timeout() ? &request.timeout() : nullptr));
  Task<absl::Status> opening = session.Open();
  status = co_await opening;
  const bool one = !request.one_by_one() || session.read_only();
  if (status.ok() && one) {
    Task<absl::Status> beginning = session.Begin({});
    status = co_await beginning;
  }
  if (!status.ok()) co_return status;
  const RawSession::Values none;
  bool wrote = false;
  for (size_t i = 0; i < texts.size() && status.ok(); ++i) {
    ExecuteScriptResponse response;
    response.set_statement(static_cast<int32_t>(i) + 1);
    response.set_statement_count(static_cast<int32_t>(texts.size()));
    response.set_line((*parts)[i].line);
    const auto begin = sql::Clock::now();
    Task<absl::Status> running =
        session.Run(texts[i], none, "", RawSession::kAllRows, response.mutable_outcome());
    status = co_await running;
    wrote = wrote || !texts[i]->statement.read_only;
    if (!status.ok()) {
      sql::AddFact(&status, "statement", absl::StrCat(i + 1));
      sql::AddFact(&status, "line", absl::StrCat((*parts)[i].line));
      break;
    }
    *response.mutable_duration() =
        TimeUtil::NanosecondsToDuration((sql::Clock::now() - begin).count());
    Task<bool> writing = stream.Write(response);
    const bool written = co_await writing;
    if (!written) status = Gone();
  }
  if (status.ok() && one) {
    Task<absl::Status> committing = session.Commit();
    status = co_await committing;
  }
  if (wrote) {
    Task<absl::Status> settling = Settled(call, std::move(status));
    status = co_await settling;
  }
  co_return status;
}

}  // namespace twi::server

#include "server/services/copy_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "repositories/value_text.h"
#include "repositories/violations.h"
#include "server/method.h"
#include "server/record.h"
#include "server/services/raw_session.h"
#include "sql/errors.h"

namespace twi::server {
namespace {

using data::v1::CopyFormat;

const char* NameOf(CopyFormat format) {
  switch (format) {
    case data::v1::COPY_FORMAT_CSV:
      return "csv";
    case data::v1::COPY_FORMAT_BINARY:
      return "binary";
    default:
      return "text";
  }
}

std::string Names(const ColumnNames& columns) {
  if (columns.empty()) return "";
  const auto quote = [](std::string* out, const std::string& name) { out->append(Quoted(name)); };
  return absl::StrCat(" (", absl::StrJoin(columns, ", ", quote), ")");
}

}  // namespace

std::string CopyInText(const std::string& table, const ColumnNames& columns, CopyFormat format) {
  return absl::StrCat("copy ", table, Names(columns), " from stdin with (format ", NameOf(format),
                      ")");
}

std::string CopyOutText(const data::v1::CopyOutRequest& request) {
  // A query may end in `;` or a comment.
  const auto parts = sql::SplitScript(request.query());
  const std::string source = request.has_query() && parts.ok() && !parts->empty()
                                 ? absl::StrCat("(", parts->front().text, "\n)")
                                 : absl::StrCat(request.table(), Names(request.columns()));
  return absl::StrCat("copy ", source, " to stdout with (format ", NameOf(request.format()), ")");
}

absl::Status AppendRows(const google::protobuf::RepeatedPtrField<data::v1::Row>& rows,
                        CopyFormat format, int64_t* count, std::string* out) {
  if (!rows.empty() && std::string_view(NameOf(format)) != "text") {
    return repositories::Wrong("rows", "must be empty where data have another form than text");
  }
  for (int i = 0; i < rows.size(); ++i) {
    absl::Status status = repositories::AppendCopyRow(rows[i], absl::StrCat("rows[", i, "]"), out);
    if (!status.ok()) {
      sql::AddFact(&status, "row", absl::StrCat(*count + 1));
      return status;
    }
    ++*count;
  }
  return absl::OkStatus();
}

void RecordCopy(const Call& call, const sql::CopyOutcome& outcome, sql::Clock::time_point begun,
                SlowQueries* slow) {
  sql::Execution execution;
  execution.status = outcome.status;
  execution.sqlstate = outcome.sqlstate;
  execution.database_message = outcome.database_message;
  execution.run_time = sql::Clock::now() - begun;
  execution.attempts = 1;
  execution.solo = true;
  execution.first_sent = begun;
  RecordRun(*call.method(), execution, begun, slow, call.trace().get());
}

}  // namespace twi::server

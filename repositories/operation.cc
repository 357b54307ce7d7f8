#include "repositories/operation.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "sql/errors.h"

namespace twi::repositories {

using google::protobuf::Message;

namespace {

// Rows that a stream reads and sends at once: few enough to hold, and enough that a statement and a
// message for them cost little.
constexpr int kPortion = 500;

// Bytes of a portion and of a page, unless one row has more: clients take 4 MiB when nobody told
// them otherwise. A page has its token beside them, and is not made smaller than it must be: its
// size is the caller's wish.
constexpr size_t kPortionBytes = size_t{1} << 20;
constexpr size_t kPageBytes = size_t{3} << 20;

}  // namespace

bool Operation::idempotent() const {
  return method_->options().idempotency_level() == google::protobuf::MethodOptions::IDEMPOTENT;
}

absl::Status Operation::Bind(const Message& request, sql::Execution* execution) const {
  execution->idempotent = idempotent();
  if (pages_) return BindPage(request, execution);
  execution->statement = &statement_;
  if (set_) return set_->Bind(request, execution);
  return parameters_.Bind(request, nullptr, &execution->parameters);
}

absl::Status Operation::BindPage(const Message& request, sql::Execution* execution) const {
  const auto* reflection = request.GetReflection();
  const int size = reflection->GetInt32(request, pages_->size);
  const std::string token = reflection->GetString(request, pages_->token);
  if (token.empty()) return BindAfter(request, {}, size, execution);
  auto decoded = PageToken::Decode(token, name_, HashArguments(request),
                                   static_cast<int>(pages_->key_columns.size()));
  if (!decoded.ok()) return decoded.status();
  return BindAfter(request, std::move(decoded->key), size, execution);
}

absl::Status Operation::BindAfter(const Message& request, std::vector<std::string> after, int size,
                                  sql::Execution* execution) const {
  const bool first = after.empty();
  const PageArguments page{int64_t{size} + 1, std::move(after)};
  execution->statement = first ? &statement_ : &pages_->next;
  return (first ? parameters_ : pages_->next_parameters)
      .Bind(request, &page, &execution->parameters);
}

absl::Status Operation::BindPortion(const Message& request, const Progress& progress,
                                    sql::Execution* execution) const {
  return BindAfter(request, progress.after, kPortion, execution);
}

absl::Status Operation::EncodePortion(const sql::Rows& rows, Progress* progress,
                                      std::string* response) const {
  if (absl::Status status = CheckColumns(rows); !status.ok()) return status;
  int count = std::min(kPortion, rows.size());
  if (absl::Status status = EncodeFitting(rows, kPortionBytes, &count, response); !status.ok()) {
    return status;
  }
  progress->complete = count == rows.size();
  if (progress->complete) return absl::OkStatus();
  auto key = KeyOf(rows, count - 1);
  if (!key.ok()) return key.status();
  progress->after = *std::move(key);
  return absl::OkStatus();
}

absl::StatusOr<bool> Operation::Join(const Message& request, Chunk* chunk) const {
  return set_->Join(request, chunk);
}

void Operation::BindChunk(Chunk chunk, sql::Execution* execution) const {
  execution->idempotent = idempotent();
  execution->statement = &statement_;
  SetPlan::BindChunk(std::move(chunk), execution);
}

absl::Status Operation::AddChunk(const sql::Rows& rows, Tally* tally) const {
  if (absl::Status status = CheckColumns(rows); !status.ok()) return status;
  tally_.Add(rows, tally);
  return absl::OkStatus();
}

void Operation::EncodeTally(const Tally& tally, std::string* response) const {
  tally_.Encode(tally, response);
}

absl::Status Operation::CheckColumns(const sql::Rows& rows) const {
  const bool sums = method_->client_streaming();
  if (Fits(rows, sums ? tally_.columns() : rows_.columns())) return absl::OkStatus();
  return sql::Error(absl::StatusCode::kFailedPrecondition, "SCHEMA_MISMATCH",
                    absl::StrCat(name_, ": the result's columns changed; restart the server"));
}

absl::Status Operation::Encode(const sql::Rows& rows, const Message& request,
                               std::string* response) const {
  if (absl::Status status = CheckColumns(rows); !status.ok()) return status;
  // A write without `returning` does not say whether there was anything to write.
  if (rows.columns() == 0) return absl::OkStatus();
  if (rows.size() == 0) return None();
  if (pages_) return EncodePage(rows, request, response);
  if (rows.size() > 1 && rows_.shape() != RowPlan::Shape::kElements) {
    return sql::Error(absl::StatusCode::kInternal, "INTERNAL",
                      absl::StrCat(name_, " returned ", rows.size(), " rows where one is meant"));
  }
  return rows_.Encode(rows, rows.size(), response);
}

absl::Status Operation::EncodePage(const sql::Rows& rows, const Message& request,
                                   std::string* response) const {
  const int size = request.GetReflection()->GetInt32(request, pages_->size);
  int count = std::min(size, rows.size());
  if (absl::Status status = EncodeFitting(rows, kPageBytes, &count, response); !status.ok()) {
    return status;
  }
  if (count == rows.size()) return absl::OkStatus();

  auto key = KeyOf(rows, count - 1);
  if (!key.ok()) return key.status();
  const PageToken token{*std::move(key)};
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::StringOutputStream bytes(response);
  google::protobuf::io::CodedOutputStream out(&bytes);
  WireFormatLite::WriteString(pages_->next_token->number(),
                              token.Encode(name_, HashArguments(request)), &out);
  return absl::OkStatus();
}

absl::Status Operation::EncodeFitting(const sql::Rows& rows, size_t most, int* count,
                                      std::string* response) const {
  const size_t before = response->size();
  for (; *count > 0; *count /= 2) {
    response->resize(before);
    if (absl::Status status = rows_.Encode(rows, *count, response); !status.ok()) return status;
    if (response->size() - before <= most || *count == 1) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Operation::KeyOf(const sql::Rows& rows, int row) const {
  std::vector<std::string> key;
  for (int column : pages_->key_columns) {
    if (rows.is_null(row, column)) {
      return sql::Error(absl::StatusCode::kDataLoss, "VALUE_UNREPRESENTABLE",
                        absl::StrCat(name_, ": a page's key is NULL"),
                        {{"column", std::string(rows.column_name(column))}});
    }
    key.emplace_back(rows.value(row, column));
  }
  return key;
}

absl::Status Operation::None() const {
  switch (none_) {
    case absl::StatusCode::kOk:
      return absl::OkStatus();
    case absl::StatusCode::kAlreadyExists:
      return sql::Error(none_, "ROW_EXISTS", absl::StrCat(name_, ": it exists already"));
    default:
      return sql::Error(none_, "ROW_NOT_FOUND", absl::StrCat(name_, ": no such row"));
  }
}

}  // namespace twi::repositories

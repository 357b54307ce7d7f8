#include "repositories/operation.h"

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "sql/errors.h"

namespace twi::repositories {

using google::protobuf::Message;

absl::Status Operation::Bind(const Message& request, sql::Execution* execution) const {
  execution->idempotent =
      method_->options().idempotency_level() == google::protobuf::MethodOptions::IDEMPOTENT;
  if (pages_) return BindPage(request, execution);
  execution->statement = &statement_;
  return parameters_.Bind(request, nullptr, &execution->parameters);
}

absl::Status Operation::BindPage(const Message& request, sql::Execution* execution) const {
  const auto* reflection = request.GetReflection();
  const std::string token = reflection->GetString(request, pages_->token);
  PageArguments page;
  page.size_plus_one = int64_t{reflection->GetInt32(request, pages_->size)} + 1;
  if (token.empty()) {
    execution->statement = &statement_;
    return parameters_.Bind(request, &page, &execution->parameters);
  }
  auto decoded = PageToken::Decode(token, name_, HashArguments(request),
                                   static_cast<int>(pages_->key_columns.size()));
  if (!decoded.ok()) return decoded.status();
  page.after = std::move(decoded->key);
  execution->statement = &pages_->next;
  return pages_->next_parameters.Bind(request, &page, &execution->parameters);
}

absl::Status Operation::Encode(const sql::Rows& rows, const Message& request,
                               std::string* response) const {
  if (!rows_.Fits(rows)) {
    return sql::Error(absl::StatusCode::kFailedPrecondition, "SCHEMA_MISMATCH",
                      absl::StrCat(name_, ": the result's columns changed; restart the server"));
  }
  if (pages_) return EncodePage(rows, request, response);
  switch (rows_.shape()) {
    case RowPlan::Shape::kElements:
      return rows_.Encode(rows, rows.size(), response);
    case RowPlan::Shape::kNothing:
      if (rows.columns() == 0) return absl::OkStatus();
      break;
    case RowPlan::Shape::kResource:
    case RowPlan::Shape::kRecord:
      break;
  }
  if (rows.size() == 0) return None();
  if (rows.size() > 1) {
    return sql::Error(absl::StatusCode::kInternal, "INTERNAL",
                      absl::StrCat(name_, " returned ", rows.size(), " rows where one is meant"));
  }
  return rows_.Encode(rows, 1, response);
}

absl::Status Operation::EncodePage(const sql::Rows& rows, const Message& request,
                                   std::string* response) const {
  const int size = request.GetReflection()->GetInt32(request, pages_->size);
  const int count = std::min(size, rows.size());
  if (absl::Status status = rows_.Encode(rows, count, response); !status.ok()) return status;
  if (rows.size() <= size) return absl::OkStatus();

  PageToken token;
  for (int column : pages_->key_columns) {
    if (rows.is_null(count - 1, column)) {
      return sql::Error(absl::StatusCode::kDataLoss, "VALUE_UNREPRESENTABLE",
                        absl::StrCat(name_, ": a page's key is NULL"),
                        {{"column", std::string(rows.column_name(column))}});
    }
    token.key.emplace_back(rows.value(count - 1, column));
  }
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::StringOutputStream bytes(response);
  google::protobuf::io::CodedOutputStream out(&bytes);
  WireFormatLite::WriteString(pages_->next_token->number(),
                              token.Encode(name_, HashArguments(request)), &out);
  return absl::OkStatus();
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

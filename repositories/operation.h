#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "repositories/page_token.h"
#include "repositories/parameters.h"
#include "repositories/rows.h"
#include "repositories/set_plan.h"
#include "repositories/tally_plan.h"
#include "sql/analysis.h"
#include "sql/execution.h"
#include "sql/statement.h"

namespace twi::repositories {

/// One RPC bound to one statement. Made by the catalog, then never changed; every thread may use
/// it.
class Operation {
 public:
  const std::string& name() const { return name_; }  ///< `QuotesService/GetQuote`
  const google::protobuf::MethodDescriptor* method() const { return method_; }
  bool read_only() const { return statement_.read_only; }
  const sql::Statement& statement() const { return statement_; }
  /// The statement of a list's next pages; null of what does not list pages.
  const sql::Statement* next_statement() const { return pages_ ? &pages_->next : nullptr; }
  /// Relations that the statement reads and writes, as written.
  const sql::Analysis& analysis() const { return analysis_; }
  /// How long an answer may be kept; zero when it may not.
  absl::Duration ttl() const { return ttl_; }

  /// Makes the execution that answers `request`, which passed validation. INVALID_ARGUMENT when a
  /// field cannot be bound.
  absl::Status Bind(const google::protobuf::Message& request, sql::Execution* execution) const;

  /// What `request` gives a placeholder of statement(), of pages also where it has another number
  /// in the next ones'; as ParameterPlan::Text.
  std::optional<std::string> TextOf(const google::protobuf::Message& request, int placeholder,
                                    bool number) const {
    return parameters_.Text(request, placeholder, number);
  }

  /// Appends the response to `request` that `rows` hold. NOT_FOUND, ALREADY_EXISTS or OK when there
  /// is none, as the stanza says; DATA_LOSS for values that cannot be told; FAILED_PRECONDITION
  /// when the schema changed under the statement; INTERNAL for more rows than there may be.
  absl::Status Encode(const sql::Rows& rows, const google::protobuf::Message& request,
                      std::string* response) const;

  /// How far a server stream has come. Nothing else is held between its portions, each of which is
  /// a statement of its own.
  struct Progress {
    std::vector<std::string> after;  ///< The last row's key; empty before the first portion.
    bool complete = false;
  };
  /// Bind and Encode for a method that streams out. An empty `response` is not to be sent.
  absl::Status BindPortion(const google::protobuf::Message& request, const Progress& progress,
                           sql::Execution* execution) const;
  absl::Status EncodePortion(const sql::Rows& rows, Progress* progress,
                             std::string* response) const;

  /// For a method that streams in: adds a request to `chunk`, or says with false that it belongs
  /// into the next.
  absl::StatusOr<bool> Join(const google::protobuf::Message& request, Chunk* chunk) const;
  /// Makes the execution that takes a chunk, and adds what it answered to `tally`.
  void BindChunk(Chunk chunk, sql::Execution* execution) const;
  absl::Status AddChunk(const sql::Rows& rows, Tally* tally) const;
  /// Appends the response to the whole stream.
  void EncodeTally(const Tally& tally, std::string* response) const;
  /// All chunks are one transaction.
  bool one_transaction() const { return one_transaction_; }

 private:
  friend class Catalog;

  /// What an operation that lists pages has beside.
  struct Pages {
    sql::Statement next;  ///< For every page but the first.
    ParameterPlan next_parameters;
    std::vector<int> key_columns;
    /// Null for streams.
    const google::protobuf::FieldDescriptor* size = nullptr;
    const google::protobuf::FieldDescriptor* token = nullptr;
    const google::protobuf::FieldDescriptor* next_token = nullptr;
  };

  absl::Status CheckColumns(const sql::Rows& rows) const;
  bool idempotent() const;
  absl::Status BindPage(const google::protobuf::Message& request, sql::Execution* execution) const;
  /// Binds the rows after a key, all when there is none, and one more than `size`.
  absl::Status BindAfter(const google::protobuf::Message& request, std::vector<std::string> after,
                         int size, sql::Execution* execution) const;
  /// Encodes the first `count` rows, or half as many and so on until they have `most` bytes or are
  /// one; `count` tells how many these are.
  absl::Status EncodeFitting(const sql::Rows& rows, size_t most, int* count,
                             std::string* response) const;
  absl::StatusOr<std::vector<std::string>> KeyOf(const sql::Rows& rows, int row) const;
  absl::Status EncodePage(const sql::Rows& rows, const google::protobuf::Message& request,
                          std::string* response) const;
  /// What a caller hears when there is no row.
  absl::Status None() const;

  std::string name_;
  const google::protobuf::MethodDescriptor* method_ = nullptr;
  sql::Statement statement_;
  sql::Analysis analysis_;
  ParameterPlan parameters_;
  RowPlan rows_;
  std::unique_ptr<SetPlan> set_;  ///< Instead of parameters_.
  TallyPlan tally_;               ///< Instead of rows_ when it streams in.
  bool one_transaction_ = false;
  absl::StatusCode none_ = absl::StatusCode::kNotFound;
  absl::Duration ttl_;
  std::unique_ptr<Pages> pages_;
};

}  // namespace twi::repositories

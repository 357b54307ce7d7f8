#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "repositories/operation.h"
#include "server/caching.h"
#include "server/call.h"
#include "server/operations.h"
#include "server/task.h"
#include "sql/statement.h"

namespace twi::server {

/// A read whose answer may be kept: what is asked.
class Question {
 public:
  /// `statement` stands for the answers in the cache, by its address, and `request` for the one:
  /// where these are equal the answers are.
  Question(const sql::Statement& statement, std::string_view request, absl::Duration ttl)
      : statement_(statement), request_(request), ttl_(ttl) {}
  virtual ~Question() = default;
  Question(const Question&) = delete;
  Question& operator=(const Question&) = delete;

  const sql::Statement& statement() const { return statement_; }
  cache::Key key() const { return {&statement_, request_}; }
  absl::Duration ttl() const { return ttl_; }

  /// It may wait for the answer that another is asking for.
  virtual bool may_join() const { return true; }
  /// As PlaceholderText, of the statement's.
  virtual std::optional<std::string> TextOf(int placeholder, bool number) const = 0;

 private:
  const sql::Statement& statement_;
  const std::string_view request_;
  const absl::Duration ttl_;
};

/// What a request asks of an operation.
class OperationQuestion final : public Question {
 public:
  /// `bytes` are the request's. All outlive this.
  OperationQuestion(const repositories::Operation& operation,
                    const google::protobuf::Message& request, std::string_view bytes)
      : Question(operation.statement(), bytes, operation.ttl()),
        operation_(operation),
        request_(request) {}

  std::optional<std::string> TextOf(int placeholder, bool number) const override {
    return operation_.TextOf(request_, placeholder, number);
  }

 private:
  const repositories::Operation& operation_;
  const google::protobuf::Message& request_;
};

/// Gives the answer when it is kept, is as recent as wished, and nothing has to be asked or
/// waited for: into the call, and here its status.
std::optional<absl::Status> AnswerKept(Call& call, Caching& caching, const cache::Key& key);

/// Asks the database, and appends the answer to `response`. `footprint` may be null.
using Asking =
    absl::FunctionRef<Task<absl::Status>(std::string* response, Operations::Footprint* footprint)>;

/// Gives the answer as recent as the caller wishes: one that is kept or that another is asking for,
/// or else the database's, which is kept if it may be. What is passed outlives the task.
Task<absl::Status> Answer(Call& call, Caching& caching, const Question& question, Asking ask);

}  // namespace twi::server

#pragma once

#include <atomic>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "repositories/catalog.h"
#include "server/caching.h"
#include "server/service.h"
#include "server/services/prepared_names.h"
#include "server/services/raw_session.h"
#include "server/validation.h"
#include "sql/dictionary.h"
#include "twi/data/v1/database.pb.h"

namespace twi::server {

/// twi.data.v1.DatabaseService.
class DatabaseService final : public Service {
 public:
  struct Options {
    SlowQueries* slow_queries = nullptr;
    size_t most_bytes = 4 * 1024 * 1024;
    /// Whoever may call it may run SQL; else all is refused.
    bool offered = true;
    /// Transactions that may be open at a time: they hold connections for as long as clients want.
    int transactions = 8;
  };

  /// `dictionary` says which functions change something. `caching` may be null; all outlive this.
  DatabaseService(const Options& options, sql::Dictionary dictionary,
                  const repositories::Catalog* catalog, sql::Pool* pool, Caching* caching);

  const google::protobuf::ServiceDescriptor* descriptor() const override;
  bool runs_statements() const override { return true; }
  Task<absl::Status> Answer(Call& call, const google::protobuf::Message& request,
                            google::protobuf::Message* response) override;
  Task<absl::Status> Converse(const google::protobuf::MethodDescriptor& method,
                              Stream stream) override;

 private:
  /// What a unary call does: statements in order, in one transaction.
  struct Job {
    std::vector<sql::RawTexts::Text> texts;
    std::vector<const data::v1::Query*> queries;  ///< Of each text.
    std::vector<std::string> fields;              ///< The path of each one's parameters.
    /// Begins a transaction with it; null: there is one statement, which is one by itself.
    const data::v1::Begin* begin = nullptr;
    int most_rows = RawSession::kAllRows;
    std::vector<data::v1::Outcome> outcomes;

    bool read_only() const;
  };
  class Conversation;

  Task<absl::Status> Fetch(Call& call, const data::v1::Query& query,
                           const data::v1::RunOptions& options, int most_rows,
                           data::v1::Outcome* outcome);
  Task<absl::Status> FetchVal(Call& call, const data::v1::FetchValRequest& request,
                              data::v1::FetchValResponse* response);
  Task<absl::Status> Execute(Call& call, const data::v1::ExecuteRequest& request,
                             data::v1::ExecuteResponse* response);
  Task<absl::Status> ExecuteInTransaction(Call& call,
                                          const data::v1::ExecuteInTransactionRequest& request,
                                          data::v1::ExecuteInTransactionResponse* response);
  Task<absl::Status> Prepare(Call& call, const data::v1::PrepareRequest& request,
                             data::v1::PrepareResponse* response);

  Task<absl::Status> ExecuteMany(Stream stream);
  Task<absl::Status> StreamFetch(Stream stream);
  Task<absl::Status> CopyIn(Stream stream);
  Task<absl::Status> CopyOut(Stream stream);
  Task<absl::Status> ExecuteScript(Stream stream);
  Task<absl::Status> Transaction(Stream stream);

  static absl::Status NotOffered();
  /// The text of a query. Refused are transaction control, COPY from or to the client and, but for
  /// `several`, more than one statement.
  absl::StatusOr<sql::RawTexts::Text> TextOf(const Call& call, const data::v1::Query& query,
                                             bool several = false);
  absl::StatusOr<sql::RawTexts::Text> TextOf(const Call& call, const std::string& sql,
                                             bool several = false);
  /// PERMISSION_DENIED when the caller is held to rows, and the statement does something else.
  static absl::Status Allowed(const Call& call, const sql::Analysis& analysis);
  /// Runs it, again and again as `options` allow.
  Task<absl::Status> Run(Call& call, const data::v1::RunOptions& options, Job* job);
  Task<absl::Status> RunOnce(Call& call, sql::Clock::time_point deadline, Job* job);
  /// Whoever hears of what was done must not find an answer without it in the cache.
  Task<absl::Status> Settled(Call& call, absl::Status status);

  RawContext context_;
  sql::RawTexts texts_;
  PreparedNames names_;
  Caching* const caching_;
  const bool offered_;
  const int most_transactions_;
  std::atomic<int> transactions_{0};
  /// What a transaction may call: unary operations, with the rules of their requests.
  struct Callable {
    const repositories::Operation* operation;
    Validator validator;
  };
  std::map<std::string, Callable> operations_;
};

}  // namespace twi::server

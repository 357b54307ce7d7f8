#pragma once

#include <atomic>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "repositories/catalog.h"
#include "server/caching.h"
#include "server/service.h"
#include "server/services/prepared_names.h"
#include "server/services/raw_question.h"
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

  /// What requests of a read are, by its name (`DatabaseService/Fetch`); null: there is none.
  static const google::protobuf::Descriptor* ReadOf(std::string_view method);
  /// What a request of a read asks of the cache.
  struct Explanation {
    sql::RawTexts::Text text;
    std::unique_ptr<Question> question;
    std::string refusal;  ///< Why its answer is not kept, whatever it depends on.
  };
  /// Errors as those of the method itself.
  absl::StatusOr<Explanation> Explain(const Call& call, const google::protobuf::Message& request);

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
    /// Is told what the one statement, a read, could see; null: nobody asks.
    std::optional<sql::Snapshot>* snapshot = nullptr;

    bool read_only() const;
  };
  /// What Fetch, FetchRow and FetchVal are asked for.
  struct Wanted {
    const data::v1::Query* query;
    const data::v1::RunOptions* options;
    bool use_cache;
    int most_rows;
    int column;         ///< Of FetchVal.
    std::string shape;  ///< Equal for those whose answers to one text look the same.
  };
  class Conversation;

  static Wanted WantedBy(const google::protobuf::Message& request);
  /// Who waits for another's answer may wait longer than the timeout that he names.
  static bool MayJoin(const Wanted& wanted) { return !wanted.options->has_timeout(); }
  /// Whether what it did may have to be undone as its rows are more than an answer may have.
  static bool MayBeTooLarge(const sql::RawText& text);
  /// Answers a Fetch, FetchRow or FetchVal.
  Task<absl::Status> Read(Call& call, const google::protobuf::Message& request,
                          google::protobuf::Message* response);
  /// Its answer's bytes from the database. `footprint` may be null.
  Task<absl::Status> FetchBytes(Call& call, const Wanted& wanted, sql::RawTexts::Text text,
                                std::string* answer, Operations::Footprint* footprint);
  /// The same as a message. `snapshot` as Job's.
  Task<absl::Status> Fetch(Call& call, const Wanted& wanted, sql::RawTexts::Text text,
                           google::protobuf::Message* response,
                           std::optional<sql::Snapshot>* snapshot);
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

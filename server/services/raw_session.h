#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/repeated_field.h"
#include "repositories/value_text.h"
#include "server/call.h"
#include "server/principal.h"
#include "server/slow_queries.h"
#include "server/task.h"
#include "sql/lease.h"
#include "sql/pool.h"
#include "sql/raw_text.h"
#include "twi/data/v1/transaction.pb.h"
#include "twi/data/v1/value.pb.h"

namespace twi::server {

/// What is known of the database's types, by number; they are asked for when they first come.
/// Thread-safe.
class TypeInfos {
 public:
  using Info = repositories::TypeInfo;

  /// Those of `types` that are not known.
  std::vector<sql::Oid> Missing(const std::vector<sql::Oid>& types) const;
  /// Takes the answer of kDescribeTypes.
  void Add(const sql::Rows& rows);
  /// Not named if it is not known.
  Info Find(sql::Oid type) const;

 private:
  mutable std::mutex mutex_;
  absl::flat_hash_map<sql::Oid, Info> infos_;
};

/// What all who run raw SQL share.
struct RawContext {
  sql::Pool* pool;
  sql::RawTexts* texts;
  TypeInfos types = {};
  /// Is told of statements that take long; may be null.
  SlowQueries* slow = nullptr;
  /// The largest answer, in bytes.
  size_t most_bytes = 4 * 1024 * 1024;
};

/// A session that runs raw SQL for a call: its connection is borrowed, and given back at the end.
class RawSession {
 public:
  using Values = google::protobuf::RepeatedPtrField<data::v1::Value>;
  static constexpr int kAllRows = std::numeric_limits<int>::max();

  /// Nothing runs for longer than until `deadline`.
  RawSession(Call& call, RawContext& context, sql::Clock::time_point deadline);

  /// Borrows the connection, in the role that the caller's SQL runs in.
  Task<absl::Status> Open();
  /// All has to be in transactions, which are then read only.
  bool read_only() const { return rules_.read_only; }

  /// Begins a transaction; Commit, Rollback or the end of this ends it.
  Task<absl::Status> Begin(const data::v1::Begin& begin);
  Task<absl::Status> Commit();
  Task<absl::Status> Rollback();
  /// Rolls back, if there is a transaction, and gives `status`: a connection that comes back inside
  /// one is closed.
  Task<absl::Status> Undo(absl::Status status);

  /// Runs one statement. `field` is the path of `parameters` in the request. Of its rows, as many
  /// as `most_rows` go into `outcome`. RESOURCE_EXHAUSTED when they are too large. `snapshot`,
  /// which may be null, is told what the statement could see, of one that is read only.
  Task<absl::Status> Run(sql::RawTexts::Text text, const Values& parameters, std::string field,
                         int most_rows, data::v1::Outcome* outcome,
                         std::optional<sql::Snapshot>* snapshot = nullptr);

  /// Runs one statement with each of `rows`, in one transaction. An error has the fact `row`: the
  /// number of the row, from `first`.
  Task<absl::Status> RunMany(sql::RawTexts::Text text,
                             const google::protobuf::RepeatedPtrField<data::v1::Row>& rows,
                             int64_t first, data::v1::ManyOutcome* outcome);

  /// Runs what is bound to `execution`, and tells of it.
  Task<absl::Status> Run(sql::Execution& execution);

  /// The types and columns of a statement that is not run.
  Task<absl::Status> Describe(sql::RawTexts::Text text, std::vector<std::string>* parameter_types,
                              google::protobuf::RepeatedPtrField<data::v1::Column>* columns);

  /// Adds rows from `first` on, until the table takes `most_bytes`, but always one; with row 0 the
  /// columns, too. Gives the number of the first row that is not in it. RESOURCE_EXHAUSTED when a
  /// row is too large for an answer.
  Task<absl::StatusOr<int>> Read(const sql::Rows& rows, int first, int end, size_t most_bytes,
                                 data::v1::Table* table);

  /// The borrowed connection, for a COPY.
  sql::Lease& lease() { return lease_; }
  sql::Clock::time_point deadline() const { return deadline_; }
  Call& call() { return call_; }
  RawContext& context() { return context_; }

 private:
  Task<absl::Status> Command(const sql::Statement& statement);
  /// Finds out what is not known of the types.
  Task<absl::Status> Learn(std::vector<sql::Oid> types);

  Call& call_;
  RawContext& context_;
  const sql::Clock::time_point deadline_;
  const Principal::RawRules rules_;
  sql::Lease lease_;
  bool in_transaction_ = false;
};

/// What holds for SQL of the caller's own.
Principal::RawRules RulesOf(const Call& call);

/// `"name"`, as SQL writes a name of any characters but U+0000.
std::string Quoted(const std::string& name);

/// The call's deadline, or `timeout` from now on if that is sooner and there is one.
sql::Clock::time_point DeadlineOf(const Call& call, const google::protobuf::Duration* timeout);

/// The same of a stream, which waits for its client no longer than that either.
sql::Clock::time_point LimitOf(Call& call, const google::protobuf::Duration* timeout);

}  // namespace twi::server

#pragma once

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message.h"
#include "repositories/field_path.h"
#include "sql/execution.h"
#include "sql/statement.h"

namespace twi::repositories {

/// Requests gathered for one run of a set.
struct Chunk {
  std::string array;  ///< What `:requests` is bound to, its last bracket missing.
  absl::flat_hash_set<std::string> keys;
  int requests = 0;
};

/// How requests become elements of a set's `:requests`, and which of them may share a statement:
/// made once, when the catalog is loaded.
class SetPlan {
 public:
  /// The placeholder that makes a stanza a set, unless the request has a field of its name.
  static constexpr char kPlaceholder[] = "requests";

  /// `keys` are fields of the request (`message.message_id`), as `-- batch:` names them: two
  /// requests that are alike in all of them never share a statement. `names` and `types` are the
  /// stanza's placeholders. Problems are appended as sentences that say what to change.
  static SetPlan Make(const google::protobuf::Descriptor* request,
                      const std::vector<std::string>& keys, const std::vector<std::string>& names,
                      const std::vector<sql::Oid>& types, std::vector<std::string>* problems);

  /// Binds one request; with keys, the execution may share its statement.
  /// INVALID_ARGUMENT as ParameterPlan::Bind.
  absl::Status Bind(const google::protobuf::Message& request, sql::Execution* execution) const;

  /// Adds a request to `chunk`. False, with nothing changed, when it belongs into the next one:
  /// this one is full or has its key. INVALID_ARGUMENT as Bind.
  absl::StatusOr<bool> Join(const google::protobuf::Message& request, Chunk* chunk) const;
  static void BindChunk(Chunk chunk, sql::Execution* execution);

 private:
  std::string KeyOf(const google::protobuf::Message& request) const;

  std::vector<FieldPath> keys_;
};

}  // namespace twi::repositories

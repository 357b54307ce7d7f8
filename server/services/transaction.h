#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "server/services/database.h"
#include "server/services/raw_session.h"
#include "twi/data/v1/transaction.pb.h"

namespace twi::server {

/// The steps of one Transaction call.
class DatabaseService::Conversation {
 public:
  Conversation(DatabaseService& service, Stream stream) : service_(service), stream_(stream) {}

  Task<absl::Status> Run();

 private:
  using Request = data::v1::TransactionRequest;
  using Response = data::v1::TransactionResponse;

  /// Whether the call goes on after a step that ended so: the session is there, with its
  /// transaction.
  static bool GoesOn(const absl::Status& status);

  /// A step that must not be taken.
  static Task<absl::Status> Refuse(absl::Status status);
  /// Does one step but the first and the last.
  Task<absl::Status> Step(RawSession& session, const Request& request, Response* response);
  Task<absl::Status> Fetch(RawSession& session, const data::v1::Query& query, std::string field,
                           int most_rows, Response* response);
  Task<absl::Status> ExecuteMany(RawSession& session, const data::v1::ExecuteManyStep& step,
                                 Response* response);
  Task<absl::Status> Copy(RawSession& session, const data::v1::CopyStep& step, Response* response);
  Task<absl::Status> CallOperation(RawSession& session, const data::v1::CallStep& step,
                                   Response* response);
  Task<absl::Status> Command(RawSession& session, std::string words, const std::string& name,
                             Response* response);

  DatabaseService& service_;
  Stream stream_;
};

}  // namespace twi::server

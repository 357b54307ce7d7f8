#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "google/protobuf/message.h"
#include "google/rpc/error_details.pb.h"
#include "proto/descriptor_names.h"
#include "repositories/catalog.h"
#include "server/caching.h"
#include "server/metrics.h"
#include "server/pipeline.h"
#include "server/server.h"
#include "server/services/admin.h"
#include "server/services/cache.h"
#include "server/services/database.h"
#include "server/services/health.h"
#include "sql/pool.h"
#include "tests/support/database.h"

namespace twi::testing {

/// The whole service in this process: a migrated database of its own, and the server on a free port
/// of loopback.
class RunningServer {
 public:
  RunningServer() : RunningServer(/*caching=*/false) {}
  explicit RunningServer(bool caching)
      : RunningServer({}, kRepositories, DataServices(), {}, {}, {}, caching) {}
  /// With operations of a test's own, whose tables `tables` makes, handwritten services, and a
  /// cache that follows the database's changes in one way; `access` may be null.
  RunningServer(const std::string& tables, const std::vector<EmbeddedText>& stanzas,
                const std::vector<const google::protobuf::ServiceDescriptor*>& data_services,
                const server::Pipeline::Options& options = {},
                const std::vector<server::Service*>& services = {}, sql::PoolOptions pool = {},
                bool caching = false, sql::ChangesFrom way = sql::ChangesFrom::kStream,
                server::Access* access = nullptr,
                std::chrono::milliseconds slow = std::chrono::milliseconds(500));
  ~RunningServer();

  /// One unary call. `response` may be null when its content does not matter.
  grpc::Status Call(const std::string& path, const google::protobuf::Message& request,
                    google::protobuf::Message* response, grpc::ClientContext* context = nullptr);
  /// The same with any bytes.
  grpc::Status CallRaw(const std::string& path, const grpc::ByteBuffer& request,
                       grpc::ByteBuffer* response, grpc::ClientContext* context = nullptr);

  const Database& database() const { return database_; }
  sql::Pool& pool() { return *pool_; }
  server::HealthService& health() { return *health_; }
  const server::Metrics& metrics() const { return metrics_; }
  server::Server& server() { return *server_; }
  /// The operation `QuotesService/GetQuote`, or null.
  const repositories::Operation* operation(const std::string& name) const;
  /// Null without caching.
  server::Caching* caching() { return caching_.get(); }
  grpc::GenericStub& stub() { return *stub_; }

 private:
  Database database_;
  server::Metrics metrics_{{"test", "test", grpc::Version()}};
  std::unique_ptr<repositories::Catalog> catalog_;
  std::unique_ptr<sql::Pool> pool_;
  std::unique_ptr<server::HealthService> health_;
  std::unique_ptr<server::Service> reflection_;
  std::unique_ptr<server::Caching> caching_;
  std::unique_ptr<server::DatabaseService> raw_;
  std::unique_ptr<server::Service> cache_;
  server::SlowQueries slow_queries_;
  std::unique_ptr<server::AdminService> admin_;
  std::unique_ptr<server::Pipeline> pipeline_;
  std::unique_ptr<server::Server> server_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

/// What an error's details hold: the ErrorInfo, and the fields of its BadRequest.
struct ErrorDetails {
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad_request;
  google::rpc::RetryInfo retry;
};
ErrorDetails DetailsOf(const grpc::Status& status);

}  // namespace twi::testing

#include "tests/support/running_server.h"

#include <cstdlib>
#include <iostream>
#include <utility>

#include "google/rpc/status.pb.h"
#include "proto/descriptor_names.h"
#include "server/services/reflection.h"
#include "server/wire.h"
#include "sql/migrate.h"
#include "sql/outbox_triggers.h"
#include "sql/publication.h"

namespace twi::testing {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::cerr << value.status() << std::endl;
    std::abort();
  }
  return *std::move(value);
}

void OrDie(const absl::Status& status) {
  if (status.ok()) return;
  std::cerr << status << std::endl;
  std::abort();
}

}  // namespace

RunningServer::RunningServer(
    const std::string& tables, const std::vector<EmbeddedText>& stanzas,
    const std::vector<const google::protobuf::ServiceDescriptor*>& data_services,
    const server::Pipeline::Options& options, const std::vector<server::Service*>& services,
    sql::PoolOptions pool, bool caching, sql::ChangesFrom way, server::Access* access,
    std::chrono::milliseconds slow)
    : slow_queries_(slow) {
  OrDie(OrDie(sql::Migrations::Load(database_.dsn())).Up([](const sql::MigrationStep&) {}));
  if (!tables.empty()) database_.Run(tables);
  if (caching) {
    OrDie(sql::PreparePublication(database_.dsn()));
    if (way == sql::ChangesFrom::kOutbox) OrDie(sql::PrepareOutbox(database_.dsn()));
  }
  auto loaded = OrDie(repositories::Catalog::Load(database_.dsn(), stanzas, data_services));
  for (const auto& problem : loaded.problems) OrDie(absl::InternalError(problem.message));
  catalog_ = std::move(loaded.catalog);
  pool.dsn = database_.dsn();
  pool_ = std::make_unique<sql::Pool>(std::move(pool));
  OrDie(pool_->WaitConnected(absl::Seconds(20)));
  const std::vector<std::string> names = {"twi.data.v1.QuotesService"};
  health_ = std::make_unique<server::HealthService>(names);
  reflection_ = server::MakeReflectionV1(names);
  std::vector<server::Service*> all = {health_.get(), reflection_.get()};
  all.insert(all.end(), services.begin(), services.end());
  if (caching) {
    caching_ = std::make_unique<server::Caching>(
        server::Caching::Options{.dsn = database_.dsn(), .only = way}, *catalog_);
    caching_->Follow();
  }
  raw_ = std::make_unique<server::DatabaseService>(server::DatabaseService::Options(),
                                                   OrDie(sql::ReadDictionary(database_.dsn())),
                                                   catalog_.get(), pool_.get(), caching_.get());
  all.push_back(raw_.get());
  cache_ = std::make_unique<server::CacheService>(caching_.get(), catalog_.get(), raw_.get());
  all.push_back(cache_.get());
  admin_ = std::make_unique<server::AdminService>(
      server::AdminService::About{.pool = {.dsn = database_.dsn()},
                                  .version = "1.2.3",
                                  .commit = "abc",
                                  .settings = {{"pool_max", "20"}}},
      pool_.get(), &slow_queries_);
  all.push_back(admin_.get());
  server::Pipeline::Options told = options;
  told.slow_queries = &slow_queries_;
  pipeline_ = std::make_unique<server::Pipeline>(told, catalog_.get(), pool_.get(), caching_.get(),
                                                 access, all, &metrics_);
  server_ = OrDie(server::Server::Start("127.0.0.1:0", 1, pipeline_.get()));
  health_->SetServing(true);
  stub_ = std::make_unique<grpc::GenericStub>(
      grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
}

RunningServer::~RunningServer() {
  server_->Shutdown(absl::Seconds(5));
  admin_->Stop();
  pool_->Stop();
}

const repositories::Operation* RunningServer::operation(const std::string& name) const {
  for (const auto& operation : catalog_->operations()) {
    if (operation->name() == name) return operation.get();
  }
  return nullptr;
}

grpc::Status RunningServer::Call(const std::string& path, const google::protobuf::Message& request,
                                 google::protobuf::Message* response,
                                 grpc::ClientContext* context) {
  grpc::ByteBuffer bytes;
  grpc::Status status = CallRaw(path, server::Buffer(request.SerializeAsString()), &bytes, context);
  if (status.ok() && response != nullptr) OrDie(server::Parse(&bytes, response));
  return status;
}

grpc::Status RunningServer::CallRaw(const std::string& path, const grpc::ByteBuffer& request,
                                    grpc::ByteBuffer* response, grpc::ClientContext* context) {
  grpc::ClientContext own;
  if (context == nullptr) context = &own;
  if (context->raw_deadline().tv_sec == gpr_inf_future(GPR_CLOCK_REALTIME).tv_sec) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  }
  grpc::CompletionQueue queue;
  const auto call = stub_->PrepareUnaryCall(context, path, request, &queue);
  grpc::Status status;
  call->StartCall();
  call->Finish(response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  return status;
}

ErrorDetails DetailsOf(const grpc::Status& status) {
  ErrorDetails details;
  google::rpc::Status rich;
  rich.ParseFromString(status.error_details());
  for (const auto& detail : rich.details()) {
    detail.UnpackTo(&details.info) || detail.UnpackTo(&details.bad_request) ||
        detail.UnpackTo(&details.retry);
  }
  return details;
}

}  // namespace twi::testing

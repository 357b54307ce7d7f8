#pragma once

#include <asio/strand.hpp>
#include <asio/thread_pool.hpp>
#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/errand.h"
#include "server/service.h"
#include "server/slow_queries.h"
#include "sql/pool.h"
#include "sql/upkeep.h"
#include "twi/data/v1/admin.pb.h"

namespace twi::server {

/// What of twi.data.v1.AdminService is no operation.
class AdminService final : public Service {
 public:
  struct About {
    sql::PoolOptions pool;  ///< As the pool was made with; it has the DSN.
    std::string version = {};
    std::string commit = {};
    std::map<std::string, std::string> settings = {};  ///< Without secrets.
  };

  /// `pool` and `slow` outlive this.
  AdminService(About about, sql::Pool* pool, SlowQueries* slow);
  ~AdminService() override;

  const google::protobuf::ServiceDescriptor* descriptor() const override;
  Task<absl::Status> Answer(Call& call, const google::protobuf::Message& request,
                            google::protobuf::Message* response) override;
  Task<absl::Status> Converse(const google::protobuf::MethodDescriptor& method,
                              Stream stream) override;

  /// Cancels what runs and begins nothing any more.
  void Stop();

 private:
  using Strand = asio::strand<asio::thread_pool::executor_type>;

  Task<absl::Status> Refresh(Stream stream);
  Task<absl::Status> Optimize(Stream stream);
  Task<absl::Status> Maintain(Stream stream);
  Task<absl::Status> Validate(const data::v1::ValidateConnectionsRequest& request,
                              data::v1::ValidateConnectionsResponse* response, Call& call);

  void Tell(data::v1::GetPoolResponse* response) const;
  void List(const data::v1::ListSlowQueriesRequest& request,
            data::v1::ListSlowQueriesResponse* response) const;
  absl::Status ReadMigrations(Errand& errand) const;
  absl::Status ReadInfo(Errand& errand) const;

  /// Does `work` with an upkeep that tells what it does as messages of type Response, once its turn
  /// in `strand` has come.
  using Work = std::function<absl::Status(const sql::Upkeep&)>;
  template <typename Response>
  Task<absl::Status> Keep(Stream stream, Strand& strand, Work work);
  /// What callers get of a status of sql/, which is for operators: so are they.
  static absl::Status ToCaller(const absl::Status& status);

  const About about_;
  sql::Pool* const pool_;
  SlowQueries* const slow_;
  const absl::Time started_at_;
  const std::chrono::steady_clock::time_point began_;
  /// The materialized views that there are.
  const std::vector<std::string> views_;

  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  /// The database's processes that work for us. Guarded by mutex_.
  std::set<int> working_;

  /// One thread for each kind of upkeep, each of which is done once at a time, and one for
  /// questions.
  asio::thread_pool threads_{4};
  Strand refreshing_;
  Strand optimizing_;
  Strand maintaining_;
};

}  // namespace twi::server

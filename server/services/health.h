#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "grpc/health/v1/health.pb.h"
#include "server/service.h"

namespace twi::server {

/// grpc.health.v1.Health. Known names: "" and every service (whether calls are served), `readiness`
/// (the same) and `liveness` (always serving). Others are NOT_FOUND, or SERVICE_UNKNOWN when
/// watched.
class HealthService final : public Service {
 public:
  /// `services` are full names.
  explicit HealthService(std::vector<std::string> services);

  const google::protobuf::ServiceDescriptor* descriptor() const override;
  Task<absl::Status> Answer(Call& call, const google::protobuf::Message& request,
                            google::protobuf::Message* response) override;
  Task<absl::Status> Converse(const google::protobuf::MethodDescriptor& method,
                              Stream stream) override;

  /// Tells all who watch. Any thread.
  void SetServing(bool serving);
  bool serving() const;

 private:
  using ServingStatus = grpc::health::v1::HealthCheckResponse::ServingStatus;
  struct Change;

  ServingStatus StatusOf(const std::string& service) const;

  std::set<std::string> services_;
  std::atomic<int64_t> next_watcher_{0};
  mutable std::mutex mutex_;
  /// Guarded by mutex_.
  bool serving_ = false;
  std::map<int64_t, std::coroutine_handle<>> watchers_;
};

}  // namespace twi::server

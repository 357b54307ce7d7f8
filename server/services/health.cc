#include "server/services/health.h"

#include <utility>

#include "server/method.h"
#include "sql/errors.h"

namespace twi::server {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using grpc::health::v1::HealthListResponse;

/// Awaited until the serving status is another than `seen`, or the watching call is cancelled.
struct HealthService::Change {
  HealthService* health;
  Call* call;
  bool seen;

  bool await_ready() const { return false; }

  bool await_suspend(std::coroutine_handle<> watcher) {
    const int64_t id = health->next_watcher_.fetch_add(1);
    // Whoever takes the watcher out resumes it: the change or the cancellation, never both.
    call->OnCancel([service = health, id] {
      std::coroutine_handle<> cancelled;
      {
        std::lock_guard lock(service->mutex_);
        const auto found = service->watchers_.find(id);
        if (found == service->watchers_.end()) return;
        cancelled = found->second;
        service->watchers_.erase(found);
      }
      cancelled.resume();
    });
    std::lock_guard lock(health->mutex_);
    // A cancellation that found no watcher yet is seen here.
    if (health->serving_ != seen || call->cancelled()) return false;
    // From here on another thread may resume the watcher and end the call.
    health->watchers_[id] = watcher;
    return true;
  }

  void await_resume() const {}
};

HealthService::HealthService(std::vector<std::string> services)
    : services_(services.begin(), services.end()) {
  services_.insert({"", "readiness", "liveness"});
}

const google::protobuf::ServiceDescriptor* HealthService::descriptor() const {
  return HealthCheckRequest::descriptor()->file()->FindServiceByName("Health");
}

HealthService::ServingStatus HealthService::StatusOf(const std::string& service) const {
  if (!services_.contains(service)) return HealthCheckResponse::SERVICE_UNKNOWN;
  return service == "liveness" || serving() ? HealthCheckResponse::SERVING
                                            : HealthCheckResponse::NOT_SERVING;
}

Task<absl::Status> HealthService::Answer(Call& call, const google::protobuf::Message& request,
                                         google::protobuf::Message* response) {
  if (call.method()->descriptor->name() == "List") {
    auto& statuses = *static_cast<HealthListResponse*>(response)->mutable_statuses();
    for (const std::string& service : services_) statuses[service].set_status(StatusOf(service));
    co_return absl::OkStatus();
  }
  const std::string& service = static_cast<const HealthCheckRequest&>(request).service();
  const ServingStatus status = StatusOf(service);
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    co_return sql::Error(absl::StatusCode::kNotFound, "ROW_NOT_FOUND", "there is no such service");
  }
  static_cast<HealthCheckResponse*>(response)->set_status(status);
  co_return absl::OkStatus();
}

Task<absl::Status> HealthService::Converse(const google::protobuf::MethodDescriptor&,
                                           Stream stream) {
  HealthCheckRequest request;
  absl::StatusOr<bool> read = co_await stream.Read(&request);
  if (!read.ok()) co_return read.status();
  HealthCheckResponse told;
  told.set_status(HealthCheckResponse::UNKNOWN);
  while (*read && !stream.call().cancelled()) {
    const bool seen = serving();
    const ServingStatus status = StatusOf(request.service());
    if (status != told.status()) {
      told.set_status(status);
      const bool written = co_await stream.Write(told);
      if (!written) break;
    }
    co_await Change{this, &stream.call(), seen};
  }
  co_return absl::CancelledError("the watch ended");
}

void HealthService::SetServing(bool serving) {
  std::map<int64_t, std::coroutine_handle<>> watchers;
  {
    std::lock_guard lock(mutex_);
    serving_ = serving;
    watchers.swap(watchers_);
  }
  for (const auto& [id, watcher] : watchers) watcher.resume();
}

bool HealthService::serving() const {
  std::lock_guard lock(mutex_);
  return serving_;
}

}  // namespace twi::server

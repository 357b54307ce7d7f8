// The methods of AdminService that take long and stream out what they do.

#include <algorithm>
#include <asio/post.hpp>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/util/time_util.h"
#include "repositories/violations.h"
#include "server/services/admin.h"

namespace twi::server {

using data::v1::ApplyOptimizationsRequest;
using data::v1::ApplyOptimizationsResponse;
using data::v1::MaintainIndexesRequest;
using data::v1::MaintainIndexesResponse;
using data::v1::RefreshMaterializedViewsRequest;
using data::v1::RefreshMaterializedViewsResponse;
using data::v1::UpkeepOutcome;
using sql::StepOutcome;
using sql::Upkeep;
using sql::UpkeepStep;

namespace {

UpkeepOutcome ToProto(StepOutcome outcome) {
  switch (outcome) {
    case StepOutcome::kMade:
      return data::v1::UPKEEP_OUTCOME_MADE;
    case StepOutcome::kReplaced:
      return data::v1::UPKEEP_OUTCOME_REPLACED;
    case StepOutcome::kThere:
      return data::v1::UPKEEP_OUTCOME_THERE;
    case StepOutcome::kServed:
      return data::v1::UPKEEP_OUTCOME_SERVED;
    case StepOutcome::kRefreshed:
      return data::v1::UPKEEP_OUTCOME_REFRESHED;
    case StepOutcome::kRolled:
      return data::v1::UPKEEP_OUTCOME_ROLLED;
    case StepOutcome::kRebuilt:
      return data::v1::UPKEEP_OUTCOME_REBUILT;
    case StepOutcome::kDropped:
      return data::v1::UPKEEP_OUTCOME_DROPPED;
    case StepOutcome::kAnalyzed:
      return data::v1::UPKEEP_OUTCOME_ANALYZED;
    case StepOutcome::kFailed:
      return data::v1::UPKEEP_OUTCOME_FAILED;
  }
  return data::v1::UPKEEP_OUTCOME_UNSPECIFIED;
}

/// A message of the kind that the method streams, about a step.
template <typename Response>
std::unique_ptr<Response> MakeStep(UpkeepOutcome outcome, const std::string& name = "") {
  auto response = std::make_unique<Response>();
  response->mutable_step()->set_name(name);
  response->mutable_step()->set_outcome(outcome);
  return response;
}

template <typename Response>
std::unique_ptr<Response> MakeStep(const UpkeepStep& step) {
  auto response = MakeStep<Response>(ToProto(step.outcome), step.name);
  response->mutable_step()->set_detail(step.detail);
  *response->mutable_step()->mutable_duration() =
      google::protobuf::util::TimeUtil::NanosecondsToDuration(
          absl::ToInt64Nanoseconds(step.duration));
  if constexpr (std::is_same_v<Response, RefreshMaterializedViewsResponse>) {
    response->set_concurrently(step.concurrently);
  }
  return response;
}

absl::Status CheckViews(const RefreshMaterializedViewsRequest& request,
                        const std::vector<std::string>& views) {
  repositories::Violations violations;
  for (int i = 0; i < request.views_size(); ++i) {
    if (std::ranges::find(views, request.views(i)) != views.end()) continue;
    violations.Add(absl::StrCat("views[", i, "]"),
                   absl::StrCat("must be one of ", absl::StrJoin(views, ", ")));
  }
  return violations.ToStatus();
}

}  // namespace

void AdminService::Stop() {
  stopping_ = true;
  std::lock_guard lock(mutex_);
  for (int pid : working_) Upkeep::Interrupt(about_.pool.dsn, pid).IgnoreError();
}

Task<absl::Status> AdminService::Converse(const google::protobuf::MethodDescriptor& method,
                                          Stream stream) {
  if (method.name() == "RefreshMaterializedViews") {
    Task<absl::Status> refreshing = Refresh(stream);
    absl::Status came = co_await refreshing;
    co_return came;
  }
  if (method.name() == "ApplyOptimizations") {
    Task<absl::Status> optimizing = Optimize(stream);
    absl::Status came = co_await optimizing;
    co_return came;
  }
  Task<absl::Status> maintaining = Maintain(stream);
  absl::Status came = co_await maintaining;
  co_return came;
}

Task<absl::Status> AdminService::Refresh(Stream stream) {
  RefreshMaterializedViewsRequest request;
  Task<absl::Status> reading = stream.ReadFirst(&request);
  absl::Status status = co_await reading;
  if (status.ok()) status = CheckViews(request, views_);
  if (!status.ok()) co_return status;
  std::vector<std::string> views(request.views().begin(), request.views().end());
  if (views.empty()) views = views_;
  Task<absl::Status> refreshing = Keep<RefreshMaterializedViewsResponse>(
      stream, refreshing_, [views](const Upkeep& upkeep) { return upkeep.RefreshViews(views); });
  absl::Status came = co_await refreshing;
  co_return came;
}

Task<absl::Status> AdminService::Optimize(Stream stream) {
  ApplyOptimizationsRequest request;
  Task<absl::Status> reading = stream.ReadFirst(&request);
  const absl::Status status = co_await reading;
  if (!status.ok()) co_return status;
  if (request.set() != data::v1::OPTIMIZATION_SET_BASE &&
      request.set() != data::v1::OPTIMIZATION_SET_ADDITIONAL) {
    co_return repositories::Wrong("set", "must be one of the sets");
  }
  const char* set = request.set() == data::v1::OPTIMIZATION_SET_BASE ? "base" : "additional";
  Task<absl::Status> optimizing = Keep<ApplyOptimizationsResponse>(
      stream, optimizing_, [set](const Upkeep& upkeep) { return upkeep.Optimize(set); });
  absl::Status came = co_await optimizing;
  co_return came;
}

Task<absl::Status> AdminService::Maintain(Stream stream) {
  MaintainIndexesRequest request;
  Task<absl::Status> reading = stream.ReadFirst(&request);
  const absl::Status status = co_await reading;
  if (!status.ok()) co_return status;
  Task<absl::Status> maintaining = Keep<MaintainIndexesResponse>(
      stream, maintaining_,
      [dry_run = request.dry_run()](const Upkeep& upkeep) { return upkeep.Maintain(dry_run); });
  absl::Status came = co_await maintaining;
  co_return came;
}

template <typename Response>
Task<absl::Status> AdminService::Keep(Stream stream, Strand& strand, Work work) {
  const auto post = [&strand](std::function<void()> run) { asio::post(strand, std::move(run)); };
  const auto body = [this, work = std::move(work)](Errand& errand) {
    std::optional<int> process;
    const absl::Cleanup left = [&] {
      std::lock_guard lock(mutex_);
      if (process) working_.erase(*process);
    };
    const Upkeep::Observer observer = {
        .step = [&](const UpkeepStep& step) { errand.Tell(MakeStep<Response>(step)); },
        .waiting = [&] { errand.Tell(MakeStep<Response>(data::v1::UPKEEP_OUTCOME_WAITING)); },
        .begun =
            [&](const std::string& name) {
              errand.Tell(MakeStep<Response>(data::v1::UPKEEP_OUTCOME_BEGUN, name));
            },
        .stopped = [&] { return errand.stopped() || stopping_; },
        .connected =
            [&](int pid) {
              std::lock_guard lock(mutex_);
              process = pid;
              working_.insert(pid);
            },
        .all = true,
    };
    const absl::StatusOr<Upkeep> upkeep = Upkeep::Load(about_.pool.dsn, observer);
    return ToCaller(upkeep.ok() ? work(*upkeep) : upkeep.status());
  };
  Task<absl::Status> keeping = Errand::Run(stream, post, body);
  absl::Status came = co_await keeping;
  co_return came;
}

}  // namespace twi::server

#include "server/services/admin.h"

#include <algorithm>
#include <asio/post.hpp>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "google/protobuf/util/time_util.h"
#include "repositories/violations.h"
#include "server/method.h"
#include "server/wait.h"
#include "sql/errors.h"
#include "sql/migrate.h"
#include "sql/primary.h"
#include "sql/text.h"

namespace twi::server {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using google::protobuf::util::TimeUtil;

namespace {

constexpr std::chrono::seconds kPatience{1};
constexpr int64_t kMostPatience = 60;

google::protobuf::Duration ToProto(absl::Duration duration) {
  return TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(duration));
}

google::protobuf::Duration ToProto(std::chrono::nanoseconds duration) {
  return TimeUtil::NanosecondsToDuration(duration.count());
}

google::protobuf::Timestamp ToProto(absl::Time time) {
  return TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(time));
}

data::v1::MigrationStatus Pending(const sql::Migration& migration) {
  data::v1::MigrationStatus status;
  status.set_number(migration.number);
  status.set_name(migration.name);
  status.set_state(data::v1::MigrationStatus::STATE_PENDING);
  status.set_checksum(migration.checksum);
  return status;
}

/// `known`: how the server has it, or null.
data::v1::MigrationStatus Applied(const sql::AppliedMigration& migration,
                                  const sql::Migration* known) {
  data::v1::MigrationStatus status;
  status.set_number(migration.number);
  status.set_name(migration.name);
  status.set_checksum(migration.checksum);
  *status.mutable_applied_at() = ToProto(migration.applied_at);
  *status.mutable_duration() = ToProto(migration.duration);
  if (known == nullptr) {
    status.set_state(data::v1::MigrationStatus::STATE_UNKNOWN);
  } else if (known->checksum == migration.checksum) {
    status.set_state(data::v1::MigrationStatus::STATE_APPLIED);
  } else {
    status.set_state(data::v1::MigrationStatus::STATE_DIFFERENT);
  }
  return status;
}

std::vector<std::string> ViewsOf(const std::string& dsn) {
  const auto upkeep = sql::Upkeep::Load(dsn, {});
  return upkeep.ok() ? upkeep->Views() : std::vector<std::string>();
}

}  // namespace

AdminService::AdminService(About about, sql::Pool* pool, SlowQueries* slow)
    : about_(std::move(about)),
      pool_(pool),
      slow_(slow),
      started_at_(absl::Now()),
      began_(std::chrono::steady_clock::now()),
      views_(ViewsOf(about_.pool.dsn)),
      refreshing_(threads_.get_executor()),
      optimizing_(threads_.get_executor()),
      maintaining_(threads_.get_executor()) {}

AdminService::~AdminService() {
  Stop();
  threads_.join();
}

const google::protobuf::ServiceDescriptor* AdminService::descriptor() const {
  return data::v1::GetPoolResponse::descriptor()->file()->FindServiceByName("AdminService");
}

void AdminService::Tell(data::v1::GetPoolResponse* response) const {
  const sql::PoolNumbers numbers = pool_->numbers();
  response->set_idle(numbers.idle);
  response->set_busy(numbers.busy);
  response->set_connecting(numbers.connecting);
  response->set_waiting(numbers.waiting);
  data::v1::PoolCounts& counts = *response->mutable_counts();
  counts.set_opened(numbers.opened);
  counts.set_closed_idle(numbers.closed_idle);
  counts.set_closed_lifetime(numbers.closed_lifetime);
  counts.set_closed_room(numbers.closed_room);
  counts.set_closed_reset(numbers.closed_reset);
  counts.set_lost(numbers.lost);
  data::v1::PoolSettings& settings = *response->mutable_settings();
  settings.set_max_connections(about_.pool.max_connections);
  settings.set_min_connections(about_.pool.min_connections);
  *settings.mutable_connect_timeout() = ToProto(about_.pool.connect_timeout);
  *settings.mutable_idle_timeout() = ToProto(about_.pool.idle);
  *settings.mutable_lifetime() = ToProto(about_.pool.lifetime);
}

void AdminService::List(const data::v1::ListSlowQueriesRequest& request,
                        data::v1::ListSlowQueriesResponse* response) const {
  for (const SlowQuery& query : slow_->Latest(static_cast<size_t>(request.limit()))) {
    data::v1::SlowQuery& told = *response->add_slow_queries();
    told.set_operation(query.operation);
    told.set_fingerprint(query.fingerprint);
    *told.mutable_ended_at() = ToProto(query.ended);
    *told.mutable_queue_wait() = ToProto(query.queue_wait);
    *told.mutable_retries() = ToProto(query.retries);
    *told.mutable_execution() = ToProto(query.execution);
    told.set_attempts(query.attempts);
    told.set_rows(query.rows);
    told.set_code(absl::StatusCodeToString(query.code));
  }
}

Task<absl::Status> AdminService::Answer(Call& call, const Message& request, Message* response) {
  const std::string& method = call.method()->descriptor->name();
  const auto post = [this](std::function<void()> work) { asio::post(threads_, std::move(work)); };
  if (method == "GetMigrationStatus") {
    Task<absl::Status> reading = Errand::Run(
        call, post, [this](Errand& errand) { return ReadMigrations(errand); }, response);
    absl::Status came = co_await reading;
    co_return came;
  }
  if (method == "GetServerInfo") {
    Task<absl::Status> reading = Errand::Run(
        call, post, [this](Errand& errand) { return ReadInfo(errand); }, response);
    absl::Status came = co_await reading;
    co_return came;
  }
  if (method == "ValidateConnections") {
    Task<absl::Status> validating =
        Validate(static_cast<const data::v1::ValidateConnectionsRequest&>(request),
                 static_cast<data::v1::ValidateConnectionsResponse*>(response), call);
    absl::Status came = co_await validating;
    co_return came;
  }
  if (method == "GetPool") {
    Tell(static_cast<data::v1::GetPoolResponse*>(response));
  } else if (method == "ListSlowQueries") {
    List(static_cast<const data::v1::ListSlowQueriesRequest&>(request),
         static_cast<data::v1::ListSlowQueriesResponse*>(response));
  } else {
    static_cast<data::v1::ResetSlowQueriesResponse*>(response)->set_forgotten_count(
        static_cast<int32_t>(slow_->Forget()));
  }
  co_return absl::OkStatus();
}

absl::Status AdminService::ReadMigrations(Errand& errand) const {
  const auto migrations = sql::Migrations::Load(about_.pool.dsn);
  if (!migrations.ok()) return ToCaller(migrations.status());
  const auto history = migrations->Recorded();
  if (!history.ok()) return ToCaller(history.status());
  auto response = std::make_unique<data::v1::GetMigrationStatusResponse>();
  response->set_latest(migrations->Latest());
  for (const sql::AppliedMigration& applied : *history) {
    const auto known =
        std::ranges::find(migrations->known(), applied.number, &sql::Migration::number);
    *response->add_migrations() =
        Applied(applied, known == migrations->known().end() ? nullptr : &*known);
    response->set_current(std::max(response->current(), applied.number));
  }
  for (const sql::Migration& migration : migrations->known()) {
    const auto same = std::ranges::find(*history, migration.number, &sql::AppliedMigration::number);
    if (same == history->end()) *response->add_migrations() = Pending(migration);
  }
  std::ranges::sort(*response->mutable_migrations(), {}, &data::v1::MigrationStatus::number);
  errand.Tell(std::move(response));
  return absl::OkStatus();
}

absl::Status AdminService::ReadInfo(Errand& errand) const {
  auto response = std::make_unique<data::v1::GetServerInfoResponse>();
  response->set_version(about_.version);
  response->set_commit(about_.commit);
  *response->mutable_started_at() = ToProto(started_at_);
  *response->mutable_uptime() = ToProto(std::chrono::steady_clock::now() - began_);
  response->mutable_settings()->insert(about_.settings.begin(), about_.settings.end());
  // A database that is down is no reason to say nothing of the server.
  if (const auto version = sql::PostgresVersion(about_.pool.dsn); version.ok()) {
    response->set_postgres_version(*version);
    const auto migrations = sql::Migrations::Load(about_.pool.dsn);
    const auto applied = migrations.ok() ? migrations->Recorded() : migrations.status();
    if (applied.ok() && !applied->empty()) response->set_schema_version(applied->back().number);
  }
  errand.Tell(std::move(response));
  return absl::OkStatus();
}

Task<absl::Status> AdminService::Validate(const data::v1::ValidateConnectionsRequest& request,
                                          data::v1::ValidateConnectionsResponse* response,
                                          Call& call) {
  std::chrono::nanoseconds patience = kPatience;
  if (request.has_patience()) {
    const auto& asked = request.patience();
    if (asked.seconds() < 0 || asked.seconds() > kMostPatience || asked.nanos() < 0 ||
        (asked.seconds() == 0 && asked.nanos() == 0)) {
      co_return repositories::Wrong(
          "patience", absl::StrCat("must be more than 0 and at most ", kMostPatience, " s"));
    }
    patience = std::chrono::nanoseconds(TimeUtil::DurationToNanoseconds(asked));
  }
  struct Came {
    sql::Validation result;
    std::atomic<bool> there{false};
  };
  const auto came = std::make_shared<Came>();
  Wait validated(call, [&](Wait::Done done) {
    pool_->Validate(patience, [came, done = std::move(done)](const sql::Validation& result) {
      came->result = result;
      came->there = true;
      done();
    });
  });
  co_await validated;
  if (!came->there) co_return sql::GaveUp();
  response->set_checked(came->result.checked);
  response->set_dead(came->result.dead);
  response->set_replaced(came->result.replaced);
  co_return absl::OkStatus();
}

absl::Status AdminService::ToCaller(const absl::Status& status) {
  if (status.ok() || !sql::Reason(status).empty()) return status;
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
      return sql::GaveUp();
    case absl::StatusCode::kUnavailable:
      return sql::DatabaseUnavailable();
    case absl::StatusCode::kFailedPrecondition:
      return sql::Error(absl::StatusCode::kFailedPrecondition, "UPKEEP_FAILED",
                        ToStd(status.message()));
    default:
      return sql::Error(absl::StatusCode::kInternal, "INTERNAL", ToStd(status.message()));
  }
}

}  // namespace twi::server

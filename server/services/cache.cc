#include "server/services/cache.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "repositories/violations.h"
#include "server/method.h"
#include "server/reliance.h"
#include "server/validation.h"

namespace twi::server {

using data::v1::CacheDependency;
using data::v1::ExplainCacheRequest;
using data::v1::ExplainCacheResponse;
using data::v1::GetCacheStatsResponse;
using data::v1::InvalidateCacheRequest;
using data::v1::InvalidateCacheResponse;
using google::protobuf::Message;
using google::protobuf::util::TimeUtil;
using repositories::Operation;
using sql::BootClock;

namespace {

google::protobuf::Duration Since(BootClock::time_point then) {
  return TimeUtil::NanosecondsToDuration((BootClock::now() - then).count());
}

void Tell(const cache::Cache& cache, GetCacheStatsResponse* response) {
  const cache::Statistics numbers = cache.statistics();
  response->set_hits(static_cast<int64_t>(numbers.hits));
  response->set_misses(static_cast<int64_t>(numbers.misses));
  response->set_hit_rate(numbers.hit_rate);
  response->set_evictions(static_cast<int64_t>(numbers.evictions));
  response->set_invalidations(static_cast<int64_t>(numbers.invalidations));
  response->set_total_requests(static_cast<int64_t>(numbers.total_requests));
  response->set_entries(static_cast<int64_t>(cache.entries()));
  response->set_bytes(static_cast<int64_t>(cache.bytes()));
}

}  // namespace

CacheService::CacheService(Caching* caching, const repositories::Catalog* catalog,
                           DatabaseService* raw)
    : caching_(caching), raw_(raw) {
  for (const auto& operation : catalog->operations()) {
    operations_[operation->name()] = operation.get();
  }
}

const google::protobuf::ServiceDescriptor* CacheService::descriptor() const {
  return GetCacheStatsResponse::descriptor()->file()->FindServiceByName("CacheService");
}

Task<absl::Status> CacheService::Answer(Call& call, const Message& request, Message* response) {
  const std::string& method = call.method()->descriptor->name();
  if (method == "ExplainCache") {
    co_return Explain(call, static_cast<const ExplainCacheRequest&>(request),
                      static_cast<ExplainCacheResponse*>(response));
  }
  if (method == "InvalidateCache") {
    co_return Invalidate(static_cast<const InvalidateCacheRequest&>(request),
                         static_cast<InvalidateCacheResponse*>(response));
  }
  if (caching_ == nullptr) co_return absl::OkStatus();
  if (method == "ResetCacheStats") {
    caching_->cache().ResetStatistics();
  } else {
    Tell(caching_->cache(), static_cast<GetCacheStatsResponse*>(response));
  }
  co_return absl::OkStatus();
}

absl::Status CacheService::Invalidate(const InvalidateCacheRequest& request,
                                      InvalidateCacheResponse* response) {
  std::function<bool(const Caching::Entry&)> matches;
  switch (request.what_case()) {
    case InvalidateCacheRequest::kAll:
      if (!request.all()) return repositories::Wrong("all", "must be true");
      matches = [](const Caching::Entry&) { return true; };
      break;
    case InvalidateCacheRequest::kOperation: {
      const auto found = operations_.find(request.operation());
      if (found == operations_.end())
        return repositories::Wrong("operation", "must be an operation");
      matches = [statement = &found->second->statement()](const Caching::Entry& entry) {
        return entry.statement == statement;
      };
      break;
    }
    case InvalidateCacheRequest::kTable:
    case InvalidateCacheRequest::kKey: {
      auto tags = TagsOf(request);
      if (!tags.ok()) return tags.status();
      matches = [tags = *std::move(tags)](const Caching::Entry& entry) {
        // Of one that is not known to depend on anything nobody knows that it does not.
        return entry.basis.dependences.empty() ||
               std::ranges::any_of(entry.basis.dependences, [&](const auto& dependence) {
                 return std::ranges::find(tags, dependence.tag) != tags.end();
               });
      };
      break;
    }
    case InvalidateCacheRequest::WHAT_NOT_SET:
      return repositories::Wrong("what", "must be set: all, operation, table or key");
  }
  if (caching_ == nullptr) return absl::OkStatus();
  response->set_invalidated_count(static_cast<int64_t>(caching_->cache().Forget(matches)));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<cache::Tag>> CacheService::TagsOf(
    const InvalidateCacheRequest& request) const {
  const auto& key = request.key();
  const std::string& table = request.has_key() ? key.table() : request.table();
  std::vector<sql::TableDependency> tables;
  if (caching_ != nullptr) tables = caching_->Tables();
  std::erase_if(tables, [&](const auto& dependency) { return dependency.name != table; });
  if (tables.empty()) {
    return repositories::Wrong(request.has_key() ? "key.table" : "table",
                               "must be a table that kept answers depend on");
  }
  const sql::Oid oid = tables.front().table;
  if (!request.has_key()) return std::vector{cache::TableTag(oid), cache::RestTag(oid)};
  const bool known = std::ranges::any_of(tables, [&](const sql::TableDependency& dependency) {
    return std::ranges::find(dependency.keys, key.column(), &sql::TableDependency::Key::column) !=
           dependency.keys.end();
  });
  if (!known)
    return repositories::Wrong("key.column", "must be a column that kept answers depend on");
  return std::vector{cache::TableTag(oid),
                     cache::KeyTag(sql::HashKey(oid, key.column(), key.value()))};
}

absl::Status CacheService::Explain(const Call& call, const ExplainCacheRequest& request,
                                   ExplainCacheResponse* response) const {
  const auto found = operations_.find(request.operation());
  const google::protobuf::Descriptor* type = nullptr;
  if (found != operations_.end()) {
    type = found->second->method()->input_type();
  } else if (raw_ != nullptr) {
    type = DatabaseService::ReadOf(request.operation());
  }
  if (type == nullptr) return repositories::Wrong("operation", "must be an operation");
  const std::unique_ptr<Message> asked(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  if (!request.request().UnpackTo(asked.get())) {
    return repositories::Wrong("request", absl::StrCat("must be a ", type->full_name()));
  }
  absl::Status status = Validator::Make(type).Check(asked.get());
  if (!status.ok()) return status;

  if (found == operations_.end()) {
    const auto explained = raw_->Explain(call, *asked);
    if (!explained.ok()) return explained.status();
    Explain(*explained->question, explained->refusal, response);
    return absl::OkStatus();
  }
  const Operation& operation = *found->second;
  const bool kept = operation.ttl() > absl::ZeroDuration();
  Explain(OperationQuestion(operation, *asked, request.request().value()),
          kept ? "" : "the operation has no cache policy", response);
  return absl::OkStatus();
}

void CacheService::Explain(const Question& question, const std::string& refusal,
                           ExplainCacheResponse* response) const {
  *response->mutable_ttl() =
      TimeUtil::NanosecondsToDuration(absl::ToInt64Nanoseconds(question.ttl()));
  if (caching_ == nullptr) {
    response->set_refusal("the server keeps no answers");
    return;
  }
  const auto dependencies = caching_->DependenciesOf(question.statement());
  response->set_refusal(!refusal.empty()          ? refusal
                        : !caching_->follows()    ? "the database's changes are not told"
                        : dependencies == nullptr ? "what it depends on is being found out"
                                                  : dependencies->refusal);
  if (dependencies != nullptr) {
    const auto text = [&question](int placeholder, bool number) {
      return question.TextOf(placeholder, number);
    };
    for (const auto& [table, column, value] : Reliances(*dependencies, text)) {
      CacheDependency& dependency = *response->add_dependencies();
      dependency.set_table(table->name);
      if (column.empty()) continue;
      dependency.mutable_key()->set_table(table->name);
      dependency.mutable_key()->set_column(column);
      dependency.mutable_key()->set_value(value);
    }
  }
  const auto entry = caching_->cache().Find(question.key(), BootClock::time_point::min(),
                                            BootClock::now(), /*unwatched=*/true);
  if (entry != nullptr) *response->mutable_age() = Since(entry->began);
  const BootClock::time_point as_of = caching_->coherence().current_as_of();
  if (as_of > BootClock::time_point::min()) *response->mutable_lag() = Since(as_of);
}

}  // namespace twi::server

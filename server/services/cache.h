#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "repositories/catalog.h"
#include "server/caching.h"
#include "server/service.h"
#include "server/services/database.h"
#include "twi/data/v1/cache.pb.h"

namespace twi::server {

/// twi.data.v1.CacheService.
class CacheService final : public Service {
 public:
  /// `caching` is null where nothing is kept, `raw` where callers run no SQL. All outlive this.
  CacheService(Caching* caching, const repositories::Catalog* catalog, DatabaseService* raw);

  const google::protobuf::ServiceDescriptor* descriptor() const override;
  Task<absl::Status> Answer(Call& call, const google::protobuf::Message& request,
                            google::protobuf::Message* response) override;

 private:
  absl::Status Invalidate(const data::v1::InvalidateCacheRequest& request,
                          data::v1::InvalidateCacheResponse* response);
  absl::Status Explain(const Call& call, const data::v1::ExplainCacheRequest& request,
                       data::v1::ExplainCacheResponse* response) const;
  /// `refusal` is why the answer is not kept, whatever it depends on.
  void Explain(const Question& question, const std::string& refusal,
               data::v1::ExplainCacheResponse* response) const;
  /// The tags of a table, or those of a key of it.
  absl::StatusOr<std::vector<cache::Tag>> TagsOf(
      const data::v1::InvalidateCacheRequest& request) const;
  Caching* const caching_;
  DatabaseService* const raw_;
  std::map<std::string, const repositories::Operation*> operations_;
};

}  // namespace twi::server

#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "repositories/catalog.h"
#include "server/caching.h"
#include "server/service.h"
#include "twi/data/v1/cache.pb.h"

namespace twi::server {

/// twi.data.v1.CacheService.
class CacheService final : public Service {
 public:
  /// `caching` is null where nothing is kept. Both outlive this.
  CacheService(Caching* caching, const repositories::Catalog* catalog);

  const google::protobuf::ServiceDescriptor* descriptor() const override;
  Task<absl::Status> Answer(Call& call, const google::protobuf::Message& request,
                            google::protobuf::Message* response) override;

 private:
  absl::Status Invalidate(const data::v1::InvalidateCacheRequest& request,
                          data::v1::InvalidateCacheResponse* response);
  absl::Status Explain(const data::v1::ExplainCacheRequest& request,
                       data::v1::ExplainCacheResponse* response) const;
  /// The tags of a table, or those of a key of it.
  absl::StatusOr<std::vector<cache::Tag>> TagsOf(
      const data::v1::InvalidateCacheRequest& request) const;
  /// Why answers cannot be kept now; "" when they can.
  std::string RefusalOf(const repositories::Operation& operation) const;

  Caching* const caching_;
  std::map<std::string, const repositories::Operation*> operations_;
};

}  // namespace twi::server

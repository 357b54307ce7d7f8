#pragma once

#include "server/caching.h"
#include "server/metrics.h"
#include "sql/pool.h"

namespace twi::server {

/// What metrics tell of the pool; `max_connections` are those of the whole process.
PoolReading ReadPool(const sql::Pool& pool, int max_connections);

/// What metrics tell of the cache.
CacheReading ReadCache(Caching& caching);

}  // namespace twi::server

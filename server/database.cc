#include "server/database.h"

#include <utility>

namespace twi::server {

absl::StatusOr<Database> Database::Open(const Configuration& configuration) {
  if (configuration.dsn) return Database{*configuration.dsn, nullptr};
  auto embedded = EmbeddedPostgres::Start(configuration.embedded_dir);
  if (!embedded.ok()) return embedded.status();
  std::string dsn = (*embedded)->dsn();
  return Database{std::move(dsn), *std::move(embedded)};
}

}  // namespace twi::server

#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/configuration.h"
#include "server/embedded_postgres.h"

namespace twi::server {

/// The database that a configuration means, and the embedded one's process while this lives.
struct Database {
  std::string dsn;
  std::unique_ptr<EmbeddedPostgres> embedded;  ///< Null when the configuration gives a DSN.

  /// Starts the embedded default when there is no DSN. Call it from the main thread, before others.
  static absl::StatusOr<Database> Open(const Configuration& configuration);
};

}  // namespace twi::server

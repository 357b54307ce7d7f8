#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/command_line.h"
#include "server/log.h"
#include "server/tls_files.h"

namespace twi::server {

/// What the flags and the environment say, checked. Where a setting is given twice, a flag wins
/// over the environment, and that over the default.
struct Configuration {
  /// A libpq connection string, whose gaps libpq fills from its own PG* variables; nothing: the
  /// embedded database.
  std::optional<std::string> dsn;
  std::string embedded_dir;
  std::string listen;
  std::string http_listen;
  bool insecure = false;
  bool raw_sql = false;
  std::string access_file;  ///< Nothing: everybody may call everything.
  TlsFiles tls;
  bool migrate = false;
  bool sql = false;  ///< Of `migrate check` and `operations`.
  int threads = 0;   ///< At least 1.
  int pool_max = 0;
  int pool_min = 0;  ///< From 5 to pool_max.
  absl::Duration connect_timeout;
  absl::Duration default_deadline;
  absl::Duration slow_query;
  absl::Duration max_connection_age;
  absl::Duration drain_notice;
  absl::Duration shutdown_grace;
  int64_t max_message_bytes = 0;
  int64_t cache_entries = 0;  ///< 0: no answer is kept.
  int64_t cache_bytes = 0;
  LogFormat log_format = LogFormat::kAuto;
  LogLevel log_level = LogLevel::kInfo;
  std::string log_level_file;  ///< Nothing: the level stays.
  bool access_log = false;
  std::string otlp_endpoint;  ///< Nothing: spans go nowhere.
};

/// Reads the flags into a configuration. The DSN is the first there is of `--dsn` (TWI_DATA_DSN),
/// the text of the file TWI_DATA_DSN_FILE, and, unless `--embedded_dir` is given, libpq's PGHOST,
/// PGHOSTADDR, PGDATABASE or PGSERVICE. INVALID_ARGUMENT with a line for each mistake.
absl::StatusOr<Configuration> MakeConfiguration(const Environment& environment);

}  // namespace twi::server

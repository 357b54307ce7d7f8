#include "server/configuration.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/address.h"
#include "server/file.h"
#include "server/span_exporter.h"
#include "sql/dsn.h"

namespace twi::server {
namespace {

constexpr std::array<absl::string_view, 3> kFormatNames = {"auto", "json", "text"};
/// Sets `value` to the one of that name: `names` are in the order of the values.
template <typename Names, typename Value>
bool ParseName(const Names& names, absl::string_view text, Value* value, std::string* error) {
  const auto found = std::ranges::find(names, text);
  if (found == std::end(names)) {
    *error = absl::StrCat("one of ", absl::StrJoin(names, ", "));
    return false;
  }
  *value = static_cast<Value>(found - std::begin(names));
  return true;
}

}  // namespace

// What absl needs of a flag's type.
bool AbslParseFlag(absl::string_view text, LogFormat* format, std::string* error) {
  return ParseName(kFormatNames, text, format, error);
}
std::string AbslUnparseFlag(LogFormat format) {
  return std::string(kFormatNames[static_cast<size_t>(format)]);
}
bool AbslParseFlag(absl::string_view text, LogLevel* level, std::string* error) {
  return ParseName(kLevelNames, text, level, error);
}
std::string AbslUnparseFlag(LogLevel level) {
  return std::string(kLevelNames[static_cast<size_t>(level)]);
}

}  // namespace twi::server

// Each of them stands in a group of command_line.cc as well.
ABSL_FLAG(
    std::string, dsn, "",
    "PostgreSQL to use: a libpq connection string or URI, without a password. Also from the file "
    "that TWI_DATA_DSN_FILE names, or libpq's PG* variables. None: a database of its own");
ABSL_FLAG(std::string, embedded_dir, "",
          "where the database of its own lives; else $XDG_DATA_HOME/twi-data, as root "
          "/var/lib/twi-data");
ABSL_FLAG(bool, migrate, false, "bring the schema up to date before serving");
ABSL_FLAG(bool, sql, false,
          "migrate check: print statements that would mend the schema; operations: print theirs");
ABSL_FLAG(int, pool_max, 20, "connections at most");
ABSL_FLAG(int, pool_min, 5, "connections opened before ready, and kept");
ABSL_FLAG(absl::Duration, connect_timeout, absl::Seconds(10), "for opening a connection");

ABSL_FLAG(std::string, listen, "127.0.0.1:50051", "gRPC: HOST:PORT (port 0: any), or unix:PATH");
ABSL_FLAG(
    std::string, http_listen, "127.0.0.1:9464",
    "metrics, probes and the page of the status, open to all who reach it: HOST:PORT (port 0: "
    "any)");
ABSL_FLAG(bool, insecure, false,
          "let gRPC listen beyond loopback without --access_file: whoever reaches it may do all");
ABSL_FLAG(std::string, access_file, "",
          "who may call what (docs/security.md); none: everybody everything, but on loopback only");
ABSL_FLAG(bool, raw_sql, false,
          "without --access_file: let callers run SQL of their own on the database of --dsn, or "
          "with --insecure; an embedded database on loopback is open to it");
ABSL_FLAG(std::string, tls_certificate, "",
          "PEM file with the server's certificate and its chain, for gRPC and HTTP; none: no TLS");
ABSL_FLAG(std::string, tls_key, "", "PEM file with its private key");
ABSL_FLAG(std::string, tls_client_ca, "",
          "PEM file of who signs certificates by which clients say who they are");

ABSL_FLAG(int, threads, 0, "threads that serve gRPC; 0: half of the cores");
ABSL_FLAG(absl::Duration, default_deadline, absl::Seconds(300), "for calls that come without one");
ABSL_FLAG(int64_t, max_message_bytes, 4 << 20, "largest message taken, but in client streams");
ABSL_FLAG(absl::Duration, max_connection_age, absl::ZeroDuration(),
          "how long a client may stay connected until it is to connect anew; 0: for ever");
ABSL_FLAG(absl::Duration, drain_notice, absl::Seconds(5),
          "at the end, go on serving so long while saying not ready");
ABSL_FLAG(absl::Duration, shutdown_grace, absl::Seconds(10),
          "then let calls finish so long before they are cancelled");

ABSL_FLAG(int64_t, cache_entries, 2000, "answers kept at most; 0: none");
ABSL_FLAG(int64_t, cache_bytes, 256 << 20, "memory for them at most");

ABSL_FLAG(twi::server::LogFormat, log_format, twi::server::LogFormat::kAuto,
          "auto, json or text; auto: text on a terminal");
ABSL_FLAG(twi::server::LogLevel, log_level, twi::server::LogLevel::kInfo,
          "debug, info, warning or error");
ABSL_FLAG(std::string, log_level_file, "",
          "a file with the level instead, read again when it changes and on SIGHUP");
ABSL_FLAG(absl::Duration, slow_query, absl::Milliseconds(500),
          "log statements that take so long; 0: all");

ABSL_FLAG(bool, access_log, false, "log each call, in a line of level info");
ABSL_FLAG(std::string, otlp_endpoint, "",
          "http://HOST:PORT of a collector that sampled traces of callers go to, as OTLP/JSON");

namespace twi::server {
namespace {

absl::string_view Get(const Environment& environment, const std::string& name) {
  const auto it = environment.find(name);
  return it == environment.end() ? "" : absl::string_view(it->second);
}

/// Where embedded databases live by custom.
absl::StatusOr<std::string> DefaultEmbeddedDir(const Environment& environment) {
  if (geteuid() == 0) return "/var/lib/twi-data";
  // The XDG specification has relative paths ignored.
  const absl::string_view data = Get(environment, "XDG_DATA_HOME");
  if (absl::StartsWith(data, "/")) return absl::StrCat(data, "/twi-data");
  const absl::string_view home = Get(environment, "HOME");
  if (absl::StartsWith(home, "/")) return absl::StrCat(home, "/.local/share/twi-data");
  return absl::InvalidArgumentError(
      "there is no home for a database: give --embedded_dir, or --dsn for one that exists");
}

/// Settles which database is meant.
absl::Status ChooseDatabase(const Environment& environment, Configuration* configuration) {
  const std::string dsn = absl::GetFlag(FLAGS_dsn);
  const std::string file(Get(environment, "TWI_DATA_DSN_FILE"));
  if (!dsn.empty()) {
    configuration->dsn = dsn;
  } else if (!file.empty()) {
    configuration->dsn = ReadFile(file);
    if (configuration->dsn) absl::StripAsciiWhitespace(&*configuration->dsn);
    if (!configuration->dsn || configuration->dsn->empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "TWI_DATA_DSN_FILE: '", file, "' ", configuration->dsn ? "is empty" : "cannot be read"));
    }
  }

  if (configuration->dsn) {
    const absl::Status status = sql::HasPassword(*configuration->dsn).status();
    if (!status.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("the DSN: ", status.message()));
    }
  }

  configuration->embedded_dir = absl::GetFlag(FLAGS_embedded_dir);
  if (!configuration->embedded_dir.empty()) {
    if (!configuration->dsn) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "--embedded_dir and a DSN name two databases: give one of them");
  }
  if (configuration->dsn) return absl::OkStatus();

  for (const char* name : {"PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE"}) {
    if (Get(environment, name).empty()) continue;
    configuration->dsn = "";
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> dir = DefaultEmbeddedDir(environment);
  if (!dir.ok()) return dir.status();
  configuration->embedded_dir = *std::move(dir);
  return absl::OkStatus();
}

/// What is wrong with the values, a line each.
std::vector<std::string> Check(const Configuration& c) {
  std::vector<std::string> mistakes;
  const auto need = [&](bool right, absl::string_view line) {
    if (!right) mistakes.emplace_back(line);
  };
  const auto address = [&](absl::string_view flag, const absl::Status& status) {
    if (!status.ok()) mistakes.push_back(absl::StrCat(flag, ": ", status.message()));
  };
  const auto time = [&](absl::string_view flag, absl::Duration value, absl::Duration least) {
    if (value >= least && value <= absl::Hours(24)) return;
    mistakes.push_back(absl::StrCat(flag, ": ", absl::FormatDuration(value), " is not from ",
                                    absl::FormatDuration(least), " to 24h"));
  };

  address("--listen", CheckListen(c.listen, c.insecure || !c.access_file.empty()));
  need(c.tls.certificate.empty() == c.tls.key.empty(),
       "--tls_certificate, --tls_key: one is of no use without the other");
  need(
      c.tls.client_ca.empty() || (c.tls.enabled() && !c.access_file.empty()),
      "--tls_client_ca: only with --tls_certificate, and --access_file, which says whose they are");
  address("--http_listen", ParseAddress(c.http_listen).status());
  if (!c.otlp_endpoint.empty()) {
    address("--otlp_endpoint", SpanExporter::ParseEndpoint(c.otlp_endpoint).status());
  }
  need(c.threads >= 1 && c.threads <= 1024, "--threads: from 0 to 1024");
  need(c.pool_max >= (c.cache_entries > 0 ? 8 : 6) && c.pool_max <= 1000,
       "--pool_max: from 8 to 1000, two of which follow changes for the cache; without it from 6 "
       "on");
  need(c.pool_min >= 5 && c.pool_min <= c.pool_max, "--pool_min: from 5 to --pool_max");
  // gRPC's own limit, server-wide, is 16 MiB.
  need(c.max_message_bytes >= 1024 && c.max_message_bytes <= 16 << 20,
       "--max_message_bytes: from 1024 to 16777216");
  need(c.cache_entries >= 0, "--cache_entries: from 0 on");
  need(c.cache_bytes >= 1 << 20, "--cache_bytes: from 1048576 on");
  need(!c.access_log || c.log_level <= LogLevel::kInfo,
       "--access_log: its lines are of level info, which --log_level leaves out");
  time("--connect_timeout", c.connect_timeout, absl::Seconds(1));
  time("--default_deadline", c.default_deadline, absl::Milliseconds(1));
  time("--slow_query", c.slow_query, absl::ZeroDuration());
  time("--max_connection_age", c.max_connection_age, absl::ZeroDuration());
  time("--drain_notice", c.drain_notice, absl::ZeroDuration());
  time("--shutdown_grace", c.shutdown_grace, absl::ZeroDuration());
  return mistakes;
}

}  // namespace

absl::StatusOr<Configuration> MakeConfiguration(const Environment& environment) {
  Configuration configuration{
      .dsn = std::nullopt,
      .embedded_dir = "",
      .listen = absl::GetFlag(FLAGS_listen),
      .http_listen = absl::GetFlag(FLAGS_http_listen),
      .insecure = absl::GetFlag(FLAGS_insecure),
      .raw_sql = absl::GetFlag(FLAGS_raw_sql),
      .access_file = absl::GetFlag(FLAGS_access_file),
      .tls = {.certificate = absl::GetFlag(FLAGS_tls_certificate),
              .key = absl::GetFlag(FLAGS_tls_key),
              .client_ca = absl::GetFlag(FLAGS_tls_client_ca)},
      .migrate = absl::GetFlag(FLAGS_migrate),
      .sql = absl::GetFlag(FLAGS_sql),
      .threads = absl::GetFlag(FLAGS_threads),
      .pool_max = absl::GetFlag(FLAGS_pool_max),
      .pool_min = absl::GetFlag(FLAGS_pool_min),
      .connect_timeout = absl::GetFlag(FLAGS_connect_timeout),
      .default_deadline = absl::GetFlag(FLAGS_default_deadline),
      .slow_query = absl::GetFlag(FLAGS_slow_query),
      .max_connection_age = absl::GetFlag(FLAGS_max_connection_age),
      .drain_notice = absl::GetFlag(FLAGS_drain_notice),
      .shutdown_grace = absl::GetFlag(FLAGS_shutdown_grace),
      .max_message_bytes = absl::GetFlag(FLAGS_max_message_bytes),
      .cache_entries = absl::GetFlag(FLAGS_cache_entries),
      .cache_bytes = absl::GetFlag(FLAGS_cache_bytes),
      .log_format = absl::GetFlag(FLAGS_log_format),
      .log_level = absl::GetFlag(FLAGS_log_level),
      .log_level_file = absl::GetFlag(FLAGS_log_level_file),
      .access_log = absl::GetFlag(FLAGS_access_log),
      .otlp_endpoint = absl::GetFlag(FLAGS_otlp_endpoint),
  };
  if (configuration.threads == 0) {
    configuration.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / 2);
  }

  std::vector<std::string> mistakes = Check(configuration);
  const absl::Status database = ChooseDatabase(environment, &configuration);
  if (!database.ok()) mistakes.emplace_back(database.message());
  if (!mistakes.empty()) return absl::InvalidArgumentError(absl::StrJoin(mistakes, "\n"));
  return configuration;
}

}  // namespace twi::server

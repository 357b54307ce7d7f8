#include "server/serve.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <sysexits.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/descriptor_names.h"
#include "repositories/catalog.h"
#include "server/access.h"
#include "server/address.h"
#include "server/command_line.h"
#include "server/database.h"
#include "server/http.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/metrics_readings.h"
#include "server/pipeline.h"
#include "server/server.h"
#include "server/services/admin.h"
#include "server/services/cache.h"
#include "server/services/database.h"
#include "server/services/health.h"
#include "server/services/reflection.h"
#include "server/status_page.h"
#include "server/version.h"
#include "server/watched_file.h"
#include "sql/migrate.h"
#include "sql/pool.h"
#include "sql/prepare_sources.h"
#include "sql/text.h"

namespace twi::server {
namespace {

/// SIGTERM, SIGINT and SIGHUP, which every thread blocks and the main one waits for.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
  }

  /// True when one came that ends the process, false after `timeout` or SIGHUP.
  bool Wait(absl::Duration timeout) const {
    const timespec wait = absl::ToTimespec(timeout);
    const int signal = sigtimedwait(&set_, nullptr, &wait);
    return signal > 0 && signal != SIGHUP;
  }

 private:
  sigset_t set_;
};

/// Why the server is not ready, for /readyz and the log; OK when it is.
class Readiness {
 public:
  void Set(absl::Status status) {
    std::lock_guard lock(mutex_);
    status_ = std::move(status);
  }
  absl::Status status() const {
    std::lock_guard lock(mutex_);
    return status_;
  }

 private:
  mutable std::mutex mutex_;
  absl::Status status_ = absl::UnavailableError("starting");
};

HttpServer::Pages Pages(const Metrics& metrics, const Readiness& readiness,
                        const StatusPage& status) {
  const auto html = [&status](bool live) {
    return Page{200, ToHtml(status.Collect(), live), "text/html; charset=utf-8"};
  };
  return {
      {"/metrics",
       [&metrics] {
         return Page{200, metrics.Page(), std::string(Metrics::kPageType)};
       }},
      {"/livez", [] { return ProbePage(absl::OkStatus()); }},
      {"/readyz", [&readiness] { return ProbePage(readiness.status()); }},
      {"/statusz", [html] { return html(/*live=*/false); }},
      {"/statusz?refresh=10", [html] { return html(/*live=*/true); }},
      {"/statusz?format=json",
       [&status] {
         return Page{200, ToJson(status.Collect()), "application/json"};
       }},
  };
}

/// Brings the schema up to date where that is asked for. OK when it is; FAILED_PRECONDITION says
/// which command is missing.
absl::Status CheckSchema(const Database& database, bool migrate, int* version) {
  auto migrations = sql::Migrations::Load(database.dsn);
  if (!migrations.ok()) return migrations.status();
  if (migrate || database.embedded) {
    absl::Status status = migrations->Up([](const sql::MigrationStep& step) {
      Log(LogLevel::kInfo, "migrated",
          {{"migration", step.name}, {"seconds", absl::ToDoubleSeconds(step.duration)}});
    });
    if (!status.ok()) return status;
  }
  const absl::StatusOr<int> pending = migrations->Pending();
  if (!pending.ok()) return pending.status();
  if (*pending > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the schema lacks ", *pending,
                     " migrations: run `twi-data migrate up`, or serve with --migrate"));
  }
  *version = migrations->Latest();
  return absl::OkStatus();
}

/// Reads the catalog and logs what is wrong with it; null when it cannot be served.
std::unique_ptr<repositories::Catalog> LoadCatalog(const std::string& dsn) {
  auto loaded = repositories::Catalog::Load(dsn, kRepositories, DataServices());
  if (!loaded.ok()) {
    Log(LogLevel::kError, "the catalog cannot be checked",
        {{"error", ToStd(loaded.status().message())}});
    return nullptr;
  }
  for (const auto& warning : loaded->warnings) {
    Log(LogLevel::kWarning, "catalog warning",
        {{"file", warning.file}, {"line", warning.line}, {"warning", warning.message}});
  }
  for (const auto& problem : loaded->problems) {
    Log(LogLevel::kError, "catalog problem",
        {{"file", problem.file}, {"line", problem.line}, {"problem", problem.message}});
  }
  return std::move(loaded->catalog);
}

std::vector<std::string> ServiceNames() {
  std::vector<std::string> names = {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                    "grpc.reflection.v1alpha.ServerReflection"};
  for (const auto* service : AllServices()) names.push_back(service->full_name());
  return names;
}

/// What goes on below: of no concern, unless there is a detail to tell.
void LogEvent(std::string_view event, std::string_view detail) {
  if (detail.empty()) return Log(LogLevel::kDebug, event);
  Log(LogLevel::kWarning, event, {{"detail", detail}});
}

sql::PoolOptions PoolOptionsOf(const Configuration& configuration, const std::string& dsn) {
  sql::PoolOptions options;
  options.dsn = dsn;
  options.connect_timeout = configuration.connect_timeout;
  options.max_connections = configuration.pool_max;
  if (configuration.cache_entries > 0) options.max_connections -= Caching::kConnections;
  options.min_connections = configuration.pool_min;
  options.log = LogEvent;
  return options;
}

void LogSource(sql::ChangesFrom from, std::string_view why) {
  if (from == sql::ChangesFrom::kNone) {
    Log(LogLevel::kWarning, "nothing is cached, but for readers that ask for staleness",
        {{"reason", why}});
  } else if (why.empty()) {
    Log(LogLevel::kInfo, "changes are followed", {{"source", sql::NameOf(from)}});
  } else {
    Log(LogLevel::kInfo, "changes are followed", {{"source", sql::NameOf(from)}, {"reason", why}});
  }
}

/// Makes the libraries log as we do. gRPC and protobuf report what clients do wrong, which the
/// call's own record tells better: they speak at debug level.
void TakeOverLogs() {
  gpr_set_log_function([](gpr_log_func_args* line) {
    Log(LogLevel::kDebug, "gRPC", {{"detail", line->message}, {"file", line->file}});
  });
  google::protobuf::SetLogHandler(
      [](google::protobuf::LogLevel, const char* file, int, const std::string& message) {
        Log(LogLevel::kDebug, "protobuf", {{"detail", message}, {"file", file}});
      });
}

absl::Status TakeLogLevel(const std::string& text) {
  const std::optional<LogLevel> level = LevelOf(absl::StripAsciiWhitespace(text));
  if (!level) {
    return absl::InvalidArgumentError(
        absl::StrCat("it does not hold one of ", absl::StrJoin(kLevelNames, ", ")));
  }
  ProcessLog().set_level(*level);
  return absl::OkStatus();
}

int Fail(int code, const absl::Status& status) {
  Log(LogLevel::kError, "cannot serve", {{"error", ToStd(status.message())}});
  return code;
}

}  // namespace

int Serve(const Configuration& configuration) {
  const Signals signals;
  ProcessLog().set_format(configuration.log_format);
  ProcessLog().set_level(configuration.log_level);
  TakeOverLogs();
  std::vector<std::unique_ptr<WatchedFile>> files;
  if (!configuration.log_level_file.empty()) {
    auto file = WatchedFile::Open(configuration.log_level_file, TakeLogLevel);
    if (!file.ok()) return Fail(EX_CONFIG, file.status());
    files.push_back(*std::move(file));
  }
  const auto http_address = ParseAddress(configuration.http_listen);
  if (!http_address.ok()) return Fail(EX_USAGE, http_address.status());

  // Before any thread: the embedded database is a child that ends with the thread that forked it.
  auto database = Database::Open(configuration);
  if (!database.ok()) return Fail(EX_UNAVAILABLE, database.status());

  std::unique_ptr<Access> access;
  if (!configuration.access_file.empty()) {
    access = std::make_unique<Access>(AllServices());
    auto file = WatchedFile::Open(configuration.access_file, [&access](const std::string& text) {
      return access->Load(text);
    });
    if (!file.ok()) return Fail(EX_CONFIG, file.status());
    files.push_back(*std::move(file));
    if (!configuration.tls.enabled()) {
      Log(LogLevel::kWarning, "tokens are sent in the clear: there is no --tls_certificate");
    }
  }

  const Metrics::Build build{kVersion, kCommit, grpc::Version()};
  Metrics metrics(build);
  Readiness readiness;
  SlowQueries slow_queries(absl::ToChronoMilliseconds(configuration.slow_query));
  Failures failures;
  StatusPage status_page({.metrics = &metrics,
                          .slow_queries = &slow_queries,
                          .failures = &failures,
                          .ready = [&readiness] { return readiness.status(); }},
                         build);
  auto http =
      HttpServer::Start(*http_address, Pages(metrics, readiness, status_page), configuration.tls);
  if (!http.ok()) {
    return Fail(absl::IsInvalidArgument(http.status()) ? EX_CONFIG : EX_UNAVAILABLE, http.status());
  }

  std::unique_ptr<SpanExporter> exporter;
  if (!configuration.otlp_endpoint.empty()) {
    auto collector = SpanExporter::ParseEndpoint(configuration.otlp_endpoint);
    if (!collector.ok()) return Fail(EX_USAGE, collector.status());
    exporter = std::make_unique<SpanExporter>(*std::move(collector), kVersion, &metrics);
  }

  int schema = 0;
  for (;;) {
    const absl::Status status = CheckSchema(*database, configuration.migrate, &schema);
    if (status.ok()) break;
    Log(LogLevel::kWarning, "not ready", {{"error", ToStd(status.message())}});
    readiness.Set(status);
    if (signals.Wait(absl::Seconds(1))) return EX_OK;
  }
  metrics.SetSchemaVersion(schema);
  const auto catalog = LoadCatalog(database->dsn);
  if (catalog == nullptr) return EX_CONFIG;

  const sql::PoolOptions pool_options = PoolOptionsOf(configuration, database->dsn);
  sql::Pool pool(pool_options);
  if (absl::Status status = pool.WaitConnected(absl::Seconds(30)); !status.ok()) {
    return Fail(EX_UNAVAILABLE, status);
  }
  metrics.SetPool([&pool, &configuration] { return ReadPool(pool, configuration.pool_max); });
  status_page.SetPool(&pool);

  std::unique_ptr<Caching> caching;
  if (configuration.cache_entries > 0) {
    if (database->embedded || configuration.migrate) sql::PrepareSources(database->dsn, LogEvent);
    caching = std::make_unique<Caching>(
        Caching::Options{.dsn = database->dsn,
                         .cache = {.entries = static_cast<size_t>(configuration.cache_entries),
                                   .bytes = static_cast<size_t>(configuration.cache_bytes)},
                         .log = LogEvent,
                         .chosen = LogSource},
        *catalog);
    caching->Follow();
    metrics.SetCache([&caching] { return ReadCache(*caching); });
  }
  // The pages outlive both.
  absl::Cleanup out_of_sight = [&] {
    metrics.SetPool(nullptr);
    metrics.SetCache(nullptr);
    status_page.SetPool(nullptr);
  };

  HealthService health(ServiceNames());
  const auto reflection = MakeReflectionV1(ServiceNames());
  const auto reflection_alpha = MakeReflectionV1Alpha(ServiceNames());
  std::map<std::string, std::string> settings = Settings();
  settings["threads"] = absl::StrCat(configuration.threads);
  AdminService admin({pool_options, kVersion, kCommit, std::move(settings)}, &pool, &slow_queries);
  auto dictionary = sql::ReadDictionary(database->dsn);
  if (!dictionary.ok()) return Fail(EX_UNAVAILABLE, dictionary.status());
  DatabaseService raw({.slow_queries = &slow_queries,
                       .most_bytes = static_cast<size_t>(configuration.max_message_bytes),
                       .offered = access != nullptr || configuration.raw_sql ||
                                  (database->embedded && !configuration.insecure),
                       // Half of the sessions: others need some, too.
                       .transactions = std::max(1, (pool_options.max_connections - 4) / 2)},
                      *std::move(dictionary), catalog.get(), &pool, caching.get());
  CacheService cache(caching.get(), catalog.get(), &raw);
  Pipeline::Options options;
  options.default_deadline = absl::ToChronoMilliseconds(configuration.default_deadline);
  options.message_limit = static_cast<size_t>(configuration.max_message_bytes);
  options.slow_queries = &slow_queries;
  options.failures = &failures;
  options.access_log = configuration.access_log;
  options.exporter = exporter.get();
  Pipeline pipeline(options, catalog.get(), &pool, caching.get(), access.get(),
                    {&health, reflection.get(), reflection_alpha.get(), &cache, &admin, &raw},
                    &metrics);
  for (const std::string& problem : pipeline.problems()) {
    Log(LogLevel::kError, "rule problem", {{"problem", problem}});
  }
  if (!pipeline.problems().empty()) return EX_CONFIG;
  auto server = Server::Start(configuration.listen, configuration.threads, &pipeline,
                              configuration.tls, configuration.max_connection_age);
  if (!server.ok()) return Fail(EX_UNAVAILABLE, server.status());
  health.SetServing(true);
  readiness.Set(absl::OkStatus());
  ProcessLog().set_repeats_per_second(10);

  std::cout << "twi-data ready grpc=" << (*server)->address()
            << " http=" << (*http)->address().ToString() << " schema=" << schema;
  if (database->embedded) std::cout << " dsn=\"" << database->dsn << '"';
  std::cout << std::endl;

  int code = EX_OK;
  while (!signals.Wait(absl::Seconds(1))) {
    for (const auto& file : files) file->Look();
    if (database->embedded && !database->embedded->Running()) {
      code = Fail(EX_UNAVAILABLE, absl::UnavailableError("the embedded database ended"));
      break;
    }
  }

  // Those who balance load take time to hear of it; a second signal cuts that short.
  health.SetServing(false);
  readiness.Set(absl::UnavailableError("shutting down"));
  Log(LogLevel::kInfo, "draining");
  signals.Wait(configuration.drain_notice);
  (*server)->Shutdown(configuration.shutdown_grace);
  std::move(out_of_sight).Invoke();
  admin.Stop();
  // Answers what still waits for the database, so that every call can end.
  pool.Stop();
  server->reset();
  (*http)->Stop();
  Log(LogLevel::kInfo, "stopped");
  ProcessLog().Flush();
  return code;
}

}  // namespace twi::server

#include "server/commands.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <sysexits.h>

#include <chrono>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "grpc/health/v1/health.pb.h"
#include "proto/descriptor_names.h"
#include "repositories/catalog.h"
#include "server/access.h"
#include "server/database.h"
#include "server/tls.h"
#include "server/token.h"
#include "server/validation.h"
#include "server/wire.h"
#include "sql/migrate.h"

namespace twi::server {
namespace {

/// The catalog of the configured database, whose embedded default is brought up to date first.
absl::StatusOr<repositories::Catalog::Loaded> Load(const Configuration& configuration) {
  auto database = Database::Open(configuration);
  if (!database.ok()) return database.status();
  if (database->embedded) {
    auto migrations = sql::Migrations::Load(database->dsn);
    if (!migrations.ok()) return migrations.status();
    absl::Status status = migrations->Up([](const sql::MigrationStep&) {});
    if (!status.ok()) return status;
  }
  return repositories::Catalog::Load(database->dsn, kRepositories, DataServices());
}

void Print(const char* kind, const std::vector<repositories::Problem>& problems,
           std::ostream& out) {
  for (const auto& problem : problems) {
    out << problem.file << ':' << problem.line << ": " << kind << ": " << problem.message << '\n';
  }
}

}  // namespace

int CheckCommand(const Configuration& configuration, std::ostream& out, std::ostream& err) {
  const auto loaded = Load(configuration);
  if (!loaded.ok()) {
    err << loaded.status().message() << '\n';
    return EX_UNAVAILABLE;
  }
  Print("problem", loaded->problems, err);
  Print("warning", loaded->warnings, err);
  bool rules_fit = true;
  for (const auto* service : AllServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const Validator validator = Validator::Make(service->method(i)->input_type());
      for (const std::string& problem : validator.problems()) {
        err << service->file()->name() << ": problem: " << problem << '\n';
        rules_fit = false;
      }
    }
  }
  if (loaded->catalog == nullptr || !rules_fit) return EX_DATAERR;
  out << loaded->catalog->operations().size() << " operations fit the schema\n";
  return EX_OK;
}

int OperationsCommand(const Configuration& configuration, std::ostream& out, std::ostream& err) {
  const auto loaded = Load(configuration);
  if (!loaded.ok()) {
    err << loaded.status().message() << '\n';
    return EX_UNAVAILABLE;
  }
  if (loaded->catalog == nullptr) {
    Print("problem", loaded->problems, err);
    return EX_DATAERR;
  }
  for (const auto& operation : loaded->catalog->operations()) {
    const sql::Analysis& analysis = operation->analysis();
    out << operation->name() << ':';
    if (!analysis.reads.empty()) out << " reads " << absl::StrJoin(analysis.reads, ", ") << ';';
    if (!analysis.writes.empty()) out << " writes " << absl::StrJoin(analysis.writes, ", ") << ';';
    out << " cache " << absl::FormatDuration(operation->ttl()) << '\n';
    if (!configuration.sql) continue;
    out << "\n    " << absl::StrReplaceAll(operation->statement().text, {{"\n", "\n    "}})
        << "\n\n";
  }
  return EX_OK;
}

int TokenCommand(const std::vector<std::string>& words, std::ostream& out, std::ostream& err) {
  if (words.size() != 3 || words[1] != "new" || !IsPrincipalName(words[2])) {
    err << "usage: twi-data token new PRINCIPAL, whose name is 1 to 63 of a-z, 0-9 and ._-\n";
    return EX_USAGE;
  }
  const std::string token = NewToken();
  out << token << "\ntoken { principal: \"" << words[2] << "\" sha256: \""
      << Digest::Of(token).ToString() << "\" }\n";
  err << "The first line is for the caller alone, the second for the server's --access_file.\n";
  return EX_OK;
}

int HealthCommand(const Configuration& configuration, std::ostream& out, std::ostream& err) {
  grpc::GenericStub stub(
      grpc::CreateChannel(configuration.listen, ProbeCredentials(configuration.tls)));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(3));
  grpc::CompletionQueue queue;
  const grpc::ByteBuffer request = Buffer("");
  grpc::ByteBuffer response;
  grpc::Status status;
  const auto call =
      stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check", request, &queue);
  call->StartCall();
  call->Finish(&response, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  grpc::health::v1::HealthCheckResponse health;
  if (status.ok() && Parse(&response, &health).ok() &&
      health.status() == grpc::health::v1::HealthCheckResponse::SERVING) {
    out << "serving\n";
    return EX_OK;
  }
  err << configuration.listen << " is not serving"
      << (status.ok() ? "" : ": " + status.error_message()) << '\n';
  return EX_UNAVAILABLE;
}

}  // namespace twi::server

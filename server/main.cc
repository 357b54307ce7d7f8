#include <sysexits.h>

#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "proto/descriptor_set.h"
#include "server/commands.h"
#include "server/configuration.h"
#include "server/database.h"
#include "server/migrate_command.h"
#include "server/serve.h"
#include "server/upkeep_command.h"
#include "server/version.h"
#include "sql/migrate.h"

namespace twi::server {
namespace {

constexpr char kUsage[] = R"(usage: twi-data [COMMAND] [FLAGS]

  serve                                    serve gRPC, metrics and probes (the default)
  migrate up|down N|to N|current|history   change the schema, or say where it stands
  migrate check [--sql] | new NAME         compare the live schema; begin a migration
  optimize base|additional                 make indexes, views and functions beyond the schema's
  refresh-views                            compute the materialized views anew
  maintain                                 rebuild bloated indexes, analyze what changed
  check                                    the operations against the schema
  operations [--sql]                       every operation: tables, cache, its statement
  token new PRINCIPAL                      a token, and its line for the access file
  health                                   whether the server at --listen serves
  proto                                    the descriptor set with comments, for grpcurl -protoset
  version

)";

/// The embedded default is brought up to date first.
int Upkeep(const Configuration& configuration, const std::vector<std::string>& words) {
  absl::StatusOr<Database> database;
  const auto open = [&]() -> absl::StatusOr<std::string> {
    database = Database::Open(configuration);
    if (!database.ok()) return database.status();
    if (database->embedded) {
      const auto migrations = sql::Migrations::Load(database->dsn);
      if (!migrations.ok()) return migrations.status();
      absl::Status status = migrations->Up({});
      if (!status.ok()) return status;
    }
    return database->dsn;
  };
  return UpkeepCommand(open, words, std::cout, std::cerr);
}

int Migrate(const Configuration& configuration, const std::vector<std::string>& words) {
  absl::StatusOr<Database> database;
  const auto open = [&]() -> absl::StatusOr<std::string> {
    database = Database::Open(configuration);
    if (!database.ok()) return database.status();
    return database->dsn;
  };
  std::vector<std::string> arguments(words.begin() + 1, words.end());
  if (configuration.sql) arguments.emplace_back("--sql");
  return MigrateCommand(open, std::move(arguments), std::cout, std::cerr);
}

int Run(const std::vector<std::string>& arguments) {
  const Environment environment = ReadEnvironment();
  const auto line = SetFlags(arguments, environment);
  if (!line.ok()) {
    std::cerr << line.status().message() << "\ntwi-data --help lists the flags\n";
    return EX_USAGE;
  }
  for (const std::string& warning : line->warnings) std::cerr << warning << '\n';
  const std::vector<std::string> words =
      line->words.empty() ? std::vector<std::string>{"serve"} : line->words;
  const std::string& command = words[0];
  if (command == "help") {
    std::cout << kUsage << FlagsHelp();
    return EX_OK;
  }
  if (command == "version") {
    std::cout << "twi-data " << kVersion << " (" << kCommit << ")\n";
    return EX_OK;
  }
  if (command == "token") return TokenCommand(words, std::cout, std::cerr);
  if (command == "proto") {
    std::cout << DescriptorSet();
    return EX_OK;
  }

  const auto configuration = MakeConfiguration(environment);
  if (!configuration.ok()) {
    std::cerr << configuration.status().message() << '\n';
    return EX_USAGE;
  }
  if (command == "migrate") return Migrate(*configuration, words);
  if (command == "optimize" || command == "refresh-views" || command == "maintain") {
    return Upkeep(*configuration, words);
  }
  if (words.size() == 1) {
    if (command == "serve") return Serve(*configuration);
    if (command == "check") return CheckCommand(*configuration, std::cout, std::cerr);
    if (command == "operations") return OperationsCommand(*configuration, std::cout, std::cerr);
    if (command == "health") return HealthCommand(*configuration, std::cout, std::cerr);
  }
  std::cerr << "twi-data: there is no command `" << absl::StrJoin(words, " ") << "`\n\n" << kUsage;
  return EX_USAGE;
}

}  // namespace
}  // namespace twi::server

int main(int argc, char** argv) {
  return twi::server::Run(std::vector<std::string>(argv + 1, argv + argc));
}

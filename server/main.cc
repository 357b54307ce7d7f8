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
#include "server/version.h"

namespace twi::server {
namespace {

constexpr char kUsage[] = R"(usage: twi-data [COMMAND] [FLAGS]

  serve                                    serve gRPC, metrics and probes (the default)
  migrate up|down N|to N|current|history   change the schema, or say where it stands
  migrate check [--sql] | new NAME         compare the live schema; begin a migration
  check                                    the operations against the schema
  operations                               every operation: SQL, tables, cache
  health                                   whether the server at --listen serves
  proto                                    the descriptor set with comments, for grpcurl -protoset
  version

)";

int Migrate(const Configuration& configuration, const std::vector<std::string>& words) {
  absl::StatusOr<Database> database;
  const auto open = [&]() -> absl::StatusOr<std::string> {
    database = Database::Open(configuration);
    if (!database.ok()) return database.status();
    return database->dsn;
  };
  std::vector<std::string> arguments(words.begin() + 1, words.end());
  if (configuration.sql) arguments.push_back("--sql");
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

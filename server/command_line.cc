#include "server/command_line.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/flags/reflection.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "sql/dsn.h"

namespace twi::server {
namespace {

struct Group {
  absl::string_view title;
  std::vector<absl::string_view> flags;
};

/// Every flag there is: one that stands in no group does not exist for SetFlags.
const std::vector<Group> kGroups = {
    {"Database",
     {"dsn", "embedded_dir", "migrate", "sql", "pool_max", "pool_min", "connect_timeout"}},
    {"Network", {"listen", "http_listen"}},
    {"Access",
     {"access_file", "insecure", "raw_sql", "tls_certificate", "tls_key", "tls_client_ca"}},
    {"Calls",
     {"threads", "default_deadline", "max_message_bytes", "max_connection_age", "drain_notice",
      "shutdown_grace"}},
    {"Cache", {"cache_entries", "cache_bytes"}},
    {"Log",
     {"log_format", "log_level", "log_level_file", "slow_query", "access_log", "otlp_endpoint"}},
};

constexpr absl::string_view kNoPassword =
    ": its password is there for all to see: give the connection string in TWI_DATA_DSN, in the "
    "file that TWI_DATA_DSN_FILE names, or the password in libpq's PGPASSFILE";

constexpr absl::string_view kPrefix = "TWI_DATA_";

/// The flag of this name, or null.
absl::CommandLineFlag* FindFlag(absl::string_view name) {
  for (const Group& group : kGroups) {
    if (std::ranges::find(group.flags, name) != group.flags.end()) {
      return absl::FindCommandLineFlag(name);
    }
  }
  return nullptr;
}

/// Variables that are not flags and yet mean something. Kubernetes makes the last two kinds for
/// every pod beside a Service named twi-data.
bool IsKnownVariable(absl::string_view name) {
  return name == "TWI_DATA_PG_BIN" || name == "TWI_DATA_DSN_FILE" ||
         absl::StartsWith(name, "TWI_DATA_SERVICE_") || name == "TWI_DATA_PORT" ||
         absl::StartsWith(name, "TWI_DATA_PORT_");
}

/// What a value of the flag must be.
std::string Wanted(const absl::CommandLineFlag& flag) {
  if (flag.IsOfType<bool>()) return "true or false";
  if (flag.IsOfType<absl::Duration>()) return "a time with its unit, such as 500ms";
  return "a number";
}

/// Sets a flag; `source` is how its giver knows it: `--threads` or TWI_DATA_THREADS.
void Set(absl::CommandLineFlag* flag, absl::string_view source, absl::string_view value,
         std::vector<std::string>* mistakes) {
  std::string error;
  if (flag->ParseFrom(value, &error)) return;
  // absl repeats value and name before what a type of ours said.
  absl::string_view wanted = error;
  absl::ConsumePrefix(
      &wanted, absl::StrCat("Illegal value '", value, "' specified for flag '", flag->Name(), "'"));
  absl::ConsumePrefix(&wanted, "; ");
  mistakes->push_back(absl::StrCat(source, ": '", value, "' is not ",
                                   wanted.empty() ? Wanted(*flag) : std::string(wanted)));
}

/// A flag as an argument gives it.
struct Setting {
  absl::string_view name;  ///< As written, with its dashes.
  absl::CommandLineFlag* flag = nullptr;
  std::optional<absl::string_view> value;  ///< Nothing: the next argument is it.
};

/// Reads `--name=value`, `--name`, and `--noname` for a flag of yes and no.
Setting ReadSetting(absl::string_view argument) {
  Setting setting;
  const size_t equals = argument.find('=');
  setting.name = argument.substr(0, equals);
  if (equals != argument.npos) setting.value = argument.substr(equals + 1);

  absl::string_view name = setting.name;
  if (!absl::ConsumePrefix(&name, "--")) return setting;
  setting.flag = FindFlag(name);
  if (setting.flag != nullptr) {
    if (!setting.value && setting.flag->IsOfType<bool>()) setting.value = "true";
    return setting;
  }
  if (setting.value || !absl::ConsumePrefix(&name, "no")) return setting;
  absl::CommandLineFlag* negated = FindFlag(name);
  if (negated == nullptr || !negated->IsOfType<bool>()) return setting;
  setting.flag = negated;
  setting.value = "false";
  return setting;
}

void SetFromEnvironment(const Environment& environment, std::vector<std::string>* warnings,
                        std::vector<std::string>* mistakes) {
  for (const auto& [variable, value] : environment) {
    if (!absl::StartsWith(variable, kPrefix) || IsKnownVariable(variable)) continue;
    const std::string name = absl::AsciiStrToLower(absl::StripPrefix(variable, kPrefix));
    absl::CommandLineFlag* flag = FindFlag(name);
    if (flag == nullptr) {
      warnings->push_back(absl::StrCat(variable, " is set and means nothing"));
    } else if (!value.empty()) {
      Set(flag, variable, value, mistakes);
    }
  }
}

}  // namespace

Environment ReadEnvironment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == text.npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

absl::StatusOr<CommandLine> SetFlags(const std::vector<std::string>& arguments,
                                     const Environment& environment) {
  CommandLine line;
  std::vector<std::string> mistakes;
  SetFromEnvironment(environment, &line.warnings, &mistakes);

  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view argument = arguments[i];
    if (argument == "--") {
      line.words.insert(line.words.end(), arguments.begin() + i + 1, arguments.end());
      break;
    }
    if (argument == "--help" || argument == "-h" || argument == "--version") {
      line.words.insert(line.words.begin(), argument == "--version" ? "version" : "help");
    } else if (!absl::StartsWith(argument, "-")) {
      line.words.emplace_back(argument);
    } else if (Setting setting = ReadSetting(argument); setting.flag == nullptr) {
      mistakes.push_back(absl::StrCat(setting.name, ": there is no such flag"));
    } else if (!setting.value && i + 1 == arguments.size()) {
      mistakes.push_back(absl::StrCat(setting.name, ": its value is missing"));
    } else {
      const absl::string_view value = setting.value ? *setting.value : arguments[++i];
      // What a process was called with can be read by everybody on the machine.
      if (setting.flag->Name() == "dsn" && sql::HasPassword(std::string(value)).value_or(false)) {
        mistakes.push_back(absl::StrCat(setting.name, kNoPassword));
      } else {
        Set(setting.flag, setting.name, value, &mistakes);
      }
    }
  }
  if (!mistakes.empty()) return absl::InvalidArgumentError(absl::StrJoin(mistakes, "\n"));
  return line;
}

std::map<std::string, std::string> Settings() {
  constexpr std::array<absl::string_view, 3> kSecret = {"dsn", "access_file", "tls_key"};
  std::map<std::string, std::string> settings;
  for (const Group& group : kGroups) {
    for (const absl::string_view name : group.flags) {
      const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
      std::string value = flag->CurrentValue();
      if (std::ranges::find(kSecret, name) != kSecret.end() && !value.empty()) value = "yes";
      settings[std::string(name)] = std::move(value);
    }
  }
  return settings;
}

std::string FlagsHelp() {
  constexpr size_t kColumn = 40;
  constexpr size_t kWidth = 100;
  std::string help;
  for (const Group& group : kGroups) {
    absl::StrAppend(&help, group.title, "\n");
    for (const absl::string_view name : group.flags) {
      const absl::CommandLineFlag* flag = FindFlag(name);
      std::string line = absl::StrCat("  --", name);
      if (!flag->IsOfType<bool>()) absl::StrAppend(&line, "=", flag->DefaultValue());
      line.resize(std::max(kColumn, line.size() + 1), ' ');
      for (const absl::string_view word : absl::StrSplit(flag->Help(), ' ')) {
        if (line.size() + word.size() > kWidth) {
          absl::StrAppend(&help, absl::StripTrailingAsciiWhitespace(line), "\n");
          line.assign(kColumn, ' ');
        }
        absl::StrAppend(&line, word, " ");
      }
      absl::StrAppend(&help, absl::StripTrailingAsciiWhitespace(line), "\n");
    }
  }
  return help;
}

}  // namespace twi::server

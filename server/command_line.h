#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace twi::server {

/// Environment variables by name.
using Environment = std::map<std::string, std::string>;

/// The process's own.
Environment ReadEnvironment();

/// What remains of a command line when the flags are set.
struct CommandLine {
  /// `serve`, or `migrate`, `down`, `2`. `--help` and `--version` stand here as `help` and
  /// `version`, before all others.
  std::vector<std::string> words;
  /// What may be a mistake: variables TWI_DATA_* that mean nothing.
  std::vector<std::string> warnings;
};

/// Sets the flags: first from the environment, where `--slow_query` is TWI_DATA_SLOW_QUERY and an
/// empty variable is none, then from `arguments`, which begin after the program's name:
/// `--name=value`,
/// `--name value`, `--name` and `--noname` for yes and no. After `--` all are words.
/// INVALID_ARGUMENT with a line for each mistake.
///
/// In place of absl::ParseCommandLine, which exits by itself, with 1.
absl::StatusOr<CommandLine> SetFlags(const std::vector<std::string>& arguments,
                                     const Environment& environment);

/// The flags and their values, as text. Of those that may tell or name a secret, only whether they
/// are set: `yes` or nothing.
std::map<std::string, std::string> Settings();

/// The flags, grouped, with their defaults: for `--help`.
std::string FlagsHelp();

}  // namespace twi::server

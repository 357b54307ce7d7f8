#pragma once

#include <string_view>
#include <vector>

namespace twi {

/// A text file compiled into the binary.
struct EmbeddedText {
  std::string_view name;  ///< The file's name without its folder: `quotes.sql`.
  std::string_view text;
};

/// The migrations, `NNNN_name.sql`, by number.
extern const std::vector<EmbeddedText> kMigrations;

/// What adopts the bot's database, `N_name.sql`, by number.
extern const std::vector<EmbeddedText> kAdoption;

/// What speeds a database up beyond them: `additional.sql`, `base.sql`.
extern const std::vector<EmbeddedText> kOptimizations;

/// The stanzas of the repositories, one file a service.
extern const std::vector<EmbeddedText> kRepositories;

}  // namespace twi

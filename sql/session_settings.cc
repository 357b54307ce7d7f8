#include "sql/session_settings.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace twi::sql {
namespace {

const Statement kReset[] = {{"twi_data_reset_user", "reset session authorization"},
                            {"twi_data_reset_role", "reset role"},
                            {"twi_data_reset_all", "reset all"},
                            {"twi_data_unlisten", "unlisten *"},
                            {"twi_data_unlock", "select pg_advisory_unlock_all()"},
                            {"twi_data_close", "close all"},
                            {"twi_data_discard_temp", "discard temp"},
                            {"twi_data_discard_sequences", "discard sequences"}};

}  // namespace

Statement SessionSettings(const ConnectionOptions& options) {
  const std::pair<const char*, std::string> settings[] = {
      {"default_transaction_isolation", "read committed"},
      {"default_transaction_read_only", options.read_only ? "on" : "off"},
      {"default_transaction_deferrable", "off"},
      {"timezone", "UTC"},
      {"datestyle", "ISO, MDY"},
      {"intervalstyle", "postgres"},
      {"client_encoding", "UTF8"},
      // Values within json, and those of raw SQL, are text.
      {"bytea_output", "hex"},
      {"extra_float_digits", "1"},
      // Compiles a statement before each run by what it may cost; a set may seem to be of millions
      // of rows and has one.
      {"jit", "off"},
      // Nobody hears them; and so what comes while we send a COPY is its error.
      {"client_min_messages", "error"},
      {"statement_timeout", absl::StrCat(absl::ToInt64Milliseconds(options.statement_timeout))},
      {"lock_timeout", absl::StrCat(absl::ToInt64Milliseconds(options.lock_timeout))},
      {"idle_in_transaction_session_timeout",
       absl::StrCat(absl::ToInt64Milliseconds(options.idle_in_transaction))}};
  std::string text = "select";
  for (const auto& [name, value] : settings) {
    absl::StrAppend(&text, text.back() == ')' ? "," : "", " set_config('", name, "', '", value,
                    "', false)");
  }
  return {"twi_data_settings", text};
}

absl::Span<const Statement> Resets() { return kReset; }

}  // namespace twi::sql

#include "tests/support/bot.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_split.h"

namespace twi::testing {

void MakeBots(const Database& database, const std::vector<std::string>& scripts) {
  for (const std::string& script : scripts) {
    const std::string path = TWI_BOT_FOLDER "/" + script + ".sql";
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    if (text.str().empty()) {
      std::fprintf(stderr, "%s cannot be read\n", path.c_str());
      std::abort();
    }
    database.Run(text.str());
  }
}

std::vector<std::string> Counts(const Database& database) {
  database.Run(R"(
      create function rows_of(name name) returns bigint language plpgsql as $$
      declare
        count bigint;
        rejected bigint := 0;
      begin
        execute format('select count(*) from %I', name) into count;
        if to_regclass('twi_data_rejected') is not null then
          select count(*) into rejected from twi_data_rejected r where r."table" = name;
        end if;
        return count + rejected;
      end
      $$)");
  const std::string counts = database.Value(R"(
      select string_agg(concat(tablename, ' ', rows_of(tablename)), ',' order by tablename)
      from pg_tables
      where schemaname = current_schema() and tablename not like 'twi\_data\_%')");
  database.Run("drop function rows_of(name)");
  return absl::StrSplit(counts, ',');
}

}  // namespace twi::testing

#include "sql/publication.h"

#include <pqxx/pqxx>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "sql/replication.h"
#include "sql/schema_watch.h"

namespace twi::sql {
namespace {

// The tables to publish and those that are, as one list each.
constexpr char kTables[] = R"sql(
select
  (select string_agg(c.oid::regclass::text, ', ' order by c.oid::regclass::text)
   from pg_class c
   where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
     and c.relpersistence = 'p' and not c.relispartition and c.relreplident in ('d', 'i', 'f')
     and exists (
       select from pg_index i where i.indrelid = c.oid and i.indisprimary and i.indimmediate)
     and c.relname not like 'twi\_data\_%'),
  (select string_agg(r.prrelid::regclass::text, ', ' order by r.prrelid::regclass::text)
   from pg_publication p
   join pg_publication_rel r on r.prpubid = p.oid
   where p.pubname = $1),
  exists (select from pg_publication where pubname = $1),
  (select rolsuper from pg_roles where rolname = current_user))sql";

}  // namespace

absl::Status PreparePublication(const std::string& dsn) {
  try {
    pqxx::connection connection(dsn);
    pqxx::work work(connection);
    work.exec("set local client_min_messages = warning");
    const pqxx::row row = work.exec_params1(kTables, kPublication);
    const bool exists = row[2].as<bool>();
    const auto wanted = row[0].as<std::string>("");
    if (!exists) {
      work.exec(absl::StrCat("create publication ", kPublication,
                             wanted.empty() ? "" : " for table ", wanted,
                             " with (publish_via_partition_root = true)"));
    } else if (wanted != row[1].as<std::string>("")) {
      if (wanted.empty()) {
        work.exec(absl::StrCat("alter publication ", kPublication, " drop table ", row[1].c_str()));
      } else {
        work.exec(absl::StrCat("alter publication ", kPublication, " set table ", wanted));
      }
    }
    if (row[3].as<bool>()) work.exec(SchemaTriggers());
    work.commit();
    return absl::OkStatus();
  } catch (const pqxx::sql_error& error) {
    return absl::FailedPreconditionError(absl::StripSuffix(error.what(), "\n"));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StripSuffix(error.what(), "\n"));
  }
}

}  // namespace twi::sql

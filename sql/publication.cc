#include "sql/publication.h"

#include <pqxx/pqxx>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "sql/pgoutput.h"
#include "sql/replication.h"

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

// Temporary objects are nobody else's. What a command does not tell of may be anything; of what is
// dropped the second trigger is told.
constexpr char kEventTriggers[] = R"sql(
create schema if not exists twi_data;
create or replace function twi_data.tell_of_schema() returns event_trigger language plpgsql as $$
begin
  if tg_event = 'sql_drop' then
    if not exists (select from pg_event_trigger_dropped_objects() where not is_temporary) then
      return;
    end if;
  elsif tg_tag like 'DROP %' or exists (select from pg_event_trigger_ddl_commands())
    and not exists (
      select from pg_event_trigger_ddl_commands()
      where schema_name is null or schema_name not like 'pg\_temp%') then
    return;
  end if;
  perform pg_logical_emit_message(true, 'PREFIX', tg_tag);
end $$;
drop event trigger if exists twi_data_ddl;
create event trigger twi_data_ddl on ddl_command_end execute function twi_data.tell_of_schema();
drop event trigger if exists twi_data_drop;
create event trigger twi_data_drop on sql_drop execute function twi_data.tell_of_schema();
)sql";

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
    if (row[3].as<bool>()) {
      std::string triggers = kEventTriggers;
      triggers.replace(triggers.find("PREFIX"), 6, Pgoutput::kSchemaPrefix);
      work.exec(triggers);
    }
    work.commit();
    return absl::OkStatus();
  } catch (const pqxx::sql_error& error) {
    return absl::FailedPreconditionError(absl::StripSuffix(error.what(), "\n"));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StripSuffix(error.what(), "\n"));
  }
}

}  // namespace twi::sql

#include "sql/schema_watch.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "sql/pgoutput.h"
#include "sql/text.h"

namespace twi::sql {
namespace {

constexpr char kHash[] = R"sql(, hashtext(
  (select string_agg(oid || ' ' || xmin, ' ' order by oid) from pg_class
   where oid >= 16384 and relpersistence <> 't') ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_proc
   where oid >= 16384) ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_rewrite
   where oid >= 16384) ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_policy) ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_publication_rel) ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_publication) ||
  (select coalesce(string_agg(oid || ' ' || xmin, ' ' order by oid), '') from pg_trigger
   where not tgisinternal) ||
  (select coalesce(string_agg(srrelid || ' ' || xmin, ' ' order by srrelid), '')
   from pg_subscription_rel) ||
  (select coalesce(string_agg(indexrelid || ' ' || i.xmin, ' ' order by indexrelid), '')
   from pg_index i where indrelid >= 16384) ||
  (select coalesce(string_agg(attrelid || ' ' || attnum || ' ' || a.xmin, ' ' order by attrelid, attnum), '')
   from pg_attribute a join pg_class c on c.oid = attrelid
   where attrelid >= 16384 and attnum > 0 and relkind in ('r', 'p', 'v', 'm')
     and relpersistence <> 't')))sql";

// Temporary objects are nobody else's. What a command does not tell of may be anything; of what is
// dropped the second trigger is told.
constexpr char kEventTriggers[] = R"sql(
create schema if not exists twi_data;
create or replace function twi_data.tell_of_schema() returns event_trigger language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
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
  if to_regclass('twi_data.outbox') is not null then
    insert into twi_data.outbox values (pg_current_xact_id(), 0);
  end if;
end $$;
drop event trigger if exists twi_data_ddl;
create event trigger twi_data_ddl on ddl_command_end execute function twi_data.tell_of_schema();
alter event trigger twi_data_ddl enable always;
drop event trigger if exists twi_data_drop;
create event trigger twi_data_drop on sql_drop execute function twi_data.tell_of_schema();
alter event trigger twi_data_drop enable always;
)sql";

}  // namespace

std::string SchemaProbe(std::string_view select) { return absl::StrCat(ToAbsl(select), kHash); }

std::string SchemaTriggers() {
  return absl::StrReplaceAll(kEventTriggers, {{"PREFIX", ToAbsl(Pgoutput::kSchemaPrefix)}});
}

}  // namespace twi::sql

#include "sql/outbox_triggers.h"

#include <pqxx/pqxx>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "sql/schema_watch.h"

namespace twi::sql {
namespace {

// A row is what a statement did to a table: the values of a column that its rows have, or had, or
// null for more than that; of no table, a change of the schema. Until when somebody reads is a
// sequence, because that every transaction sees at once, whatever its snapshot.
constexpr char kTables[] = R"sql(
create schema if not exists twi_data;
create unlogged table if not exists twi_data.outbox (
  xid xid8 not null, relation oid not null, name text, "values" text[]);
create index if not exists outbox_xid on twi_data.outbox (xid);
alter table twi_data.outbox set (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
create unlogged table if not exists twi_data.outbox_reader (
  id bigint primary key, needs xid8 not null, seen timestamptz not null);
create sequence if not exists twi_data.outbox_until minvalue 0 start 0;
create or replace function twi_data.tell_of_table() returns trigger language plpgsql
security definer set search_path = pg_catalog, pg_temp as $$
begin
  if (select last_value from twi_data.outbox_until) > extract(epoch from now()) then
    insert into twi_data.outbox
    values (pg_current_xact_id(), coalesce(pg_partition_root(tg_relid), tg_relid));
  end if;
  return null;
end $$;
)sql";

// The tables that lack their triggers, and the columns that these tell of: of the key or the
// replica identity, as far as answers may depend on them (kIdentity in dependencies.cc). Of
// partitions they tell as a whole: rows of their root are of many shapes, and of foreign tables
// they cannot be gathered at all. A function is named by its columns, so that it never changes.
constexpr char kWanted[] = R"sql(
select wanted.oid::regclass::text, wanted.columns, wanted.function
from (
  select c.oid, k.columns,
    case k.columns when '' then 'tell_of_table' else 'tell_of_' || md5(k.columns) end as function
  from pg_class c
  cross join lateral (
    select coalesce(string_agg(a.attname, ' ' order by a.attnum), '') as columns
    from pg_attribute a
    where a.attrelid = c.oid and c.relkind = 'r' and not c.relispartition
      and a.attname ~ '^[a-z0-9_]+$' and a.attgenerated = ''
      and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype,
        'varchar'::regtype)
      and exists (
        select from pg_index i
        where i.indrelid = c.oid and a.attnum = any (i.indkey[:i.indnkeyatts - 1])
          and case c.relreplident when 'i' then i.indisreplident else i.indisprimary end)) k
  where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
    and c.relpersistence = 'p' and c.relname not like 'twi\_data\_%'
    and pg_has_role(c.relowner, 'usage')) wanted
left join lateral (
  select bit_or(g.tgtype & 60) as events,
    bool_and(p.proname = case when g.tgtype & 32 > 0 then 'tell_of_table' else wanted.function end)
      as fit
  from pg_trigger g
  join pg_proc p on p.oid = g.tgfoid
  where g.tgrelid = wanted.oid and g.tgname like 'twi\_data\_%' and g.tgenabled = 'A'
    and p.pronamespace = 'twi_data'::regnamespace) has on true
where has.events is distinct from 60 or not has.fit
order by 1)sql";

// A column that has another name meanwhile must not stop others' writes: then the name is that of
// a NULL.
constexpr char kValues[] =
    R"sql(select (select "COLUMN"::text from (select r.*) this) as value
          from ROWS r, (select null::text as "COLUMN") absent limit 257)sql";

constexpr char kFunction[] = R"sql(
create or replace function twi_data.FUNCTION() returns trigger language plpgsql
security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan as $$
begin
  if (select last_value from twi_data.outbox_until) < extract(epoch from now()) then
    return null;
  end if;
  if tg_op = 'INSERT' then
    insert into twi_data.outbox INSERTED;
  elsif tg_op = 'UPDATE' then
    insert into twi_data.outbox UPDATED;
  else
    insert into twi_data.outbox DELETED;
  end if;
  return null;
end $$)sql";

constexpr char kTriggers[] = R"sql(
create or replace trigger twi_data_insert after insert on TABLE NEW_ROWS
  for each statement execute function twi_data.FUNCTION(ARGUMENT);
create or replace trigger twi_data_update after update on TABLE BOTH
  for each statement execute function twi_data.FUNCTION(ARGUMENT);
create or replace trigger twi_data_delete after delete on TABLE OLD_ROWS
  for each statement execute function twi_data.FUNCTION(ARGUMENT);
create or replace trigger twi_data_truncate after truncate on TABLE
  for each statement execute function twi_data.tell_of_table();
alter table TABLE enable always trigger twi_data_insert, enable always trigger twi_data_update,
  enable always trigger twi_data_delete, enable always trigger twi_data_truncate;
)sql";

/// What to insert of the rows of a statement: the values that they have in each column.
std::string Telling(const std::vector<std::string>& columns, const std::vector<std::string>& of) {
  std::vector<std::string> parts;
  for (const std::string& column : columns) {
    std::vector<std::string> all;
    for (const std::string& rows : of) {
      all.push_back(absl::StrCat(
          "(", absl::StrReplaceAll(kValues, {{"COLUMN", column}, {"ROWS", rows}}), ")"));
    }
    parts.push_back(absl::StrCat("select pg_current_xact_id(), tg_relid, '", column,
                                 "', case when count(*) <= ", 256 * of.size(),
                                 " then array_agg(distinct value) end from (",
                                 absl::StrJoin(all, " union all "), ") told having count(*) > 0"));
  }
  return absl::StrJoin(parts, " union all ");
}

std::string Function(const std::string& name, const std::vector<std::string>& columns) {
  return absl::StrReplaceAll(kFunction, {{"FUNCTION", name},
                                         {"INSERTED", Telling(columns, {"new_rows"})},
                                         {"UPDATED", Telling(columns, {"old_rows", "new_rows"})},
                                         {"DELETED", Telling(columns, {"old_rows"})}});
}

std::string Triggers(const std::string& table, const std::string& columns,
                     const std::string& function) {
  const bool rows = !columns.empty();
  return absl::StrReplaceAll(
      kTriggers, {{"TABLE", table},
                  {"FUNCTION", function},
                  {"ARGUMENT", rows ? absl::StrCat("'", columns, "'") : ""},
                  {"NEW_ROWS", rows ? "referencing new table as new_rows" : ""},
                  {"OLD_ROWS", rows ? "referencing old table as old_rows" : ""},
                  {"BOTH", rows ? "referencing old table as old_rows new table as new_rows" : ""}});
}

}  // namespace

const char* const kToldByTriggers = R"sql(
select c.oid::regclass::text,
  not exists (select from pg_inherits i where i.inhrelid = c.oid)
  and not exists (
    select from (select c.oid as relid union select relid from pg_partition_tree(c.oid)) t
    where exists (select from pg_subscription_rel s where s.srrelid = t.relid)
      or 60 is distinct from (
        select bit_or(g.tgtype & 60)
        from pg_trigger g
        join pg_proc p on p.oid = g.tgfoid
        join pg_namespace n on n.oid = p.pronamespace
        where g.tgrelid = t.relid and g.tgname like 'twi\_data\_%' and g.tgenabled = 'A'
          and n.nspname = $2))
from pg_class c
where c.oid = $1::oid)sql";

const char* const kColumnsOfTriggers = R"sql(
select a.attname, a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
from (
  select string_to_array(replace(min(encode(g.tgargs, 'escape')), '\000', ''), ' ') as columns
  from pg_trigger g
  join pg_proc p on p.oid = g.tgfoid
  join pg_namespace n on n.oid = p.pronamespace
  where g.tgrelid = $1::oid and g.tgname like 'twi\_data\_%' and g.tgtype & 32 = 0
    and n.nspname = $2
  having count(distinct g.tgfoid) = 1) told
join pg_class c on c.oid = $1::oid and c.relkind = 'r' and not c.relispartition
join pg_attribute a on a.attrelid = c.oid and a.attname = any (told.columns) and a.attnum > 0
left join pg_collation l on l.oid = a.attcollation
where a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
  or a.atttypid in ('text'::regtype, 'varchar'::regtype) and l.collisdeterministic)sql";

absl::StatusOr<std::vector<std::string>> PrepareOutbox(const std::string& dsn) {
  try {
    pqxx::connection connection(dsn);
    pqxx::nontransaction session(connection);
    session.exec("set client_min_messages = warning");
    session.exec("select pg_advisory_lock(hashtext('twi_data.outbox triggers'))");
    session.exec("set lock_timeout = '3s'");
    // Whoever looks whether an index is there waits for those who write.
    if (session.exec1("select to_regclass('twi_data.outbox') is null")[0].as<bool>()) {
      session.exec(kTables);
    }
    std::vector<std::string> left;
    for (const pqxx::row& row : session.exec(kWanted)) {
      const auto table = row[0].as<std::string>();
      const auto columns = row[1].as<std::string>();
      const auto function = row[2].as<std::string>();
      try {
        if (!columns.empty()) {
          session.exec(Function(function, absl::StrSplit(columns, ' ')));
        }
        session.exec(Triggers(table, columns, function));
      } catch (const pqxx::sql_error& error) {
        // Somebody holds it, or has dropped it meanwhile.
        if (!error.sqlstate().starts_with("55") && !error.sqlstate().starts_with("42P01")) throw;
        left.push_back(table);
      }
    }
    return left;
  } catch (const pqxx::sql_error& error) {
    return absl::FailedPreconditionError(absl::StripSuffix(error.what(), "\n"));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StripSuffix(error.what(), "\n"));
  }
}

}  // namespace twi::sql

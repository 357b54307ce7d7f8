-- Says no to a database that is not the bot's, before anything is touched.
--
-- The schema twi_data_adoption holds empty tables as the migrations make them. A table of the same
-- name in the schema at hand is the bot's when each column of ours that no row can be without is
-- there, and each column of a name of ours has a type that fits into ours.

do $$
declare
  words text;
begin
  select string_agg(format('there is no table %s', name), ', ') into words
  from unnest('{users,servers,messages}'::text[]) name
  where to_regclass(name) is null;

  if words is null then
    with ours as (
      select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) as type,
        a.attnotnull and not a.atthasdef as needed
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relnamespace = 'twi_data_adoption'::regnamespace and c.relkind = 'r'
    ),
    theirs as (
      select c.relname, c.relkind, a.attname,
        regexp_replace(format_type(a.atttypid, a.atttypmod), '\(\d+\)$', '') as type
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where c.relnamespace = current_schema()::regnamespace
        and c.relkind in ('r', 'p', 'f', 'v', 'm')
    ),
    unfit as (
      select distinct format('%s is no table', t.relname) as words
      from theirs t
      join ours o using (relname)
      where t.relkind <> 'r'
      union all
      select format('%s has no column %s', o.relname, o.attname)
      from ours o
      where o.needed
        and exists (select from theirs t where t.relname = o.relname)
        and not exists (
          select from theirs t where t.relname = o.relname and t.attname = o.attname)
      union all
      select format('%s.%s is %s, not %s', t.relname, t.attname, t.type, o.type)
      from theirs t
      join ours o using (relname, attname)
      where t.type <> regexp_replace(o.type, '\(\d+\)$', '')
        and (t.type, o.type) not in (
          ('character varying', 'text'), ('smallint', 'integer'), ('smallint', 'bigint'),
          ('integer', 'bigint'), ('json', 'jsonb'), ('real[]', 'vector(1536)'))
    )
    select string_agg(u.words, ', ' order by u.words) into words
    from unfit u;
  end if;

  if words is not null then
    raise exception 'there are tables that migrations make, and this is not the bot''s database: %', words
      using hint = 'Give twi-data a database of its own, or a schema that comes first in search_path.';
  end if;

  -- They would keep columns from getting their types. Whoever made them makes them again.
  select string_agg(distinct v.oid::regclass::text, ', ') into words
  from pg_depend d
  join pg_rewrite r on r.oid = d.objid
  join pg_class v on v.oid = r.ev_class
  join pg_class t on t.oid = d.refobjid and t.relnamespace = current_schema()::regnamespace
  where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
    and v.oid <> t.oid
    and exists (
      select from pg_class c
      where c.relnamespace = 'twi_data_adoption'::regnamespace and c.relname = t.relname)
    and v.relname <> all ('{user_activity_stats,channel_hourly_stats,daily_message_stats,
      daily_member_stats,user_channel_activity,weekly_message_stats}');
  if words is not null then
    raise exception 'views read the bot''s tables and are not the bot''s: %', words
      using hint = 'Drop them, and make them again afterwards.';
  end if;
end
$$;

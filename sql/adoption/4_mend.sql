-- Values that mean something else than they say, in the types of either side: this runs before a
-- column gets its type, and again if the adoption was cut short.

create temp table mends (relation text, name text, value text, condition text);

-- NULL where the bot never told the one from the other.
insert into mends (relation, name, value, condition)
select relation, name, value, name || ' is null'
from (values
  ('messages', 'deleted', 'false'),
  ('channels', 'deleted', 'false'),
  ('threads', 'deleted', 'false'),
  ('roles', 'deleted', 'false'),
  ('roles', 'self_assignable', 'false'),
  ('roles', 'weight', '0'),
  ('reactions', 'removed', 'false'),
  ('embed_fields', 'inline', 'false'),
  ('embeds', 'created_at', '(select m.created_at from messages m where m.message_id = t.message_id)'),
  ('join_leave', 'server_name',
    'coalesce((select s.server_name from servers s where s.server_id = t.server_id), '''')'),
  ('poll', 'expired', 'false'),
  ('poll_option', 'num_votes', '0'),
  ('creator_links', 'nsfw', 'false'),
  ('creator_links', 'weight', '0'),
  ('reports', 'anonymous', 'false'),
  -- Readers find them by what they say; a time that nobody knows is the first.
  ('quotes', 'time', '''1970-01-01Z'''),
  ('links', 'time_added', '''1970-01-01Z'''),
  ('schema_embeddings', 'created_at', 'now() at time zone ''UTC'''),
  ('schema_embeddings', 'updated_at', 'created_at')
) m (relation, name, value);

-- U+0000 in JSON, which jsonb has no room for.
insert into mends (relation, name, value, condition)
select relation, name,
  format('twi_data_adoption.as_jsonb(%I::json)', name), format('%I::text ~ ''\\u0000''', name)
from (values
  ('command_history', 'args'), ('bot_metrics', 'metric_data'), ('gallery_migration', 'images'),
  ('gallery_migration', 'tags'), ('gallery_migration', 'raw_embed_data')
) m (relation, name);

-- JSON that was written as a string of JSON; and none, which is an empty list.
insert into mends (relation, name, value, condition)
select 'gallery_migration', name,
  format('twi_data_adoption.as_jsonb((%I::json #>> ''{}'')::json)', name),
  format('twi_data_adoption.holds_json(%I::json)', name)
from unnest('{images,tags,raw_embed_data}'::text[]) name;

insert into mends (relation, name, value, condition)
select 'gallery_migration', name, '''[]''', format('%I is null or %1$I::text = ''null''', name)
from unnest('{images,tags}'::text[]) name;

insert into mends (relation, name, value, condition)
values ('gallery_migration', 'raw_embed_data', 'null', 'raw_embed_data::text = ''null''');

create function twi_data_adoption.as_jsonb(value json) returns jsonb
language sql immutable
return regexp_replace(value::text, '(?<!\\)((\\\\)*)\\u0000', '\1\ufffd', 'g')::jsonb;

create function twi_data_adoption.holds_json(value json) returns boolean
language plpgsql immutable
as $$
begin
  return json_typeof(value) = 'string' and (value #>> '{}')::json is not null;
exception when others then
  return false;
end
$$;

-- Mends the values of a table.
create function twi_data_adoption.mend(mended text) returns void
language plpgsql
as $$
declare
  mend record;
begin
  for mend in
    select m.name, m.value, m.condition
    from mends m
    where m.relation = mended
      and exists (
        select from pg_attribute
        where attrelid = to_regclass(m.relation) and attname = m.name and not attisdropped)
  loop
    execute format('update %I t set %I = %s where %s', mended, mend.name, mend.value, mend.condition);
  end loop;
end
$$;

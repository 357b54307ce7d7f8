-- Interactions. A `timestamp` is UTC; the times of jsonb end with a `Z`, which a cast to `timestamp` leaves
-- out.

-- name: CreateCommandHistory
insert into command_history (
  command_name, args, start_date, user_id, channel_id, guild_id, slash_command, started_successfully
)
values (
  :command_name, nullif(:args::jsonb, 'null'), :start_date, :user_id, :channel_id, :guild_id,
  :slash_command, :started_successfully
)
returning serial;

-- name: CompleteCommand
-- batch: serial
with request as (
  select
    r._call,
    (r.request ->> 'serial')::bigint as serial,
    (r.request ->> 'run_time')::interval as run_time,
    (r.request ->> 'end_date')::timestamp as end_date,
    coalesce((r.request ->> 'finished_successfully')::boolean, true) as finished_successfully
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
completed as (
  update command_history h
  set
    run_time = r.run_time,
    end_date = r.end_date,
    finished_successfully = r.finished_successfully
  from request r
  where h.serial = r.serial
    and (h.run_time, h.end_date, h.finished_successfully)
      is distinct from (r.run_time, r.end_date, r.finished_successfully)
)
select r._call
from request r
join command_history h using (serial);

-- name: RecordInteraction
-- Numbers are drawn first, so that each call knows its own. An insert that meets a row draws from its
-- sequence all the same: users and servers that are there are left out before. Of calls that name a
-- server or a channel differently the last one counts. The arrays make it look rows up, where a join
-- may read them all.
-- batch: user.user_id
with request as (
  select
    r._call,
    nextval('command_history_serial_seq') as serial,
    r.request,
    (r.request -> 'user' ->> 'user_id')::bigint as user_id,
    r.request -> 'user' ->> 'username' as username,
    (r.request -> 'server' ->> 'server_id')::bigint as server_id,
    (r.request -> 'channel' ->> 'id')::bigint as channel_id
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
server as (
  select distinct on (r.server_id)
    r.server_id,
    r.request -> 'server' ->> 'server_name' as server_name,
    (r.request -> 'server' ->> 'creation_date')::timestamp as creation_date
  from request r
  where r.server_id is not null
  order by r.server_id, r._call desc
),
channel as (
  select distinct on (r.channel_id)
    r.channel_id as id,
    r.request -> 'channel' ->> 'name' as name,
    (r.request -> 'channel' ->> 'created_at')::timestamp as created_at,
    r.server_id as guild_id
  from request r
  where r.channel_id is not null
  order by r.channel_id, r._call desc
),
renamed_users as (
  update users u
  set username = r.username
  from request r
  where u.user_id = r.user_id and u.user_id = any(array(select o.user_id from request o))
    and u.username <> r.username
),
new_users as (
  insert into users as u (user_id, created_at, bot, username)
  select
    r.user_id,
    coalesce((r.request -> 'user' ->> 'created_at')::timestamp, '1970-01-01'),
    (r.request -> 'user' ->> 'bot')::boolean,
    r.username
  from request r
  where (select o.user_id from users o where o.user_id = r.user_id) is null
  order by r.user_id
  on conflict (user_id) do update
  set username = excluded.username
  where u.username <> excluded.username
),
renamed_servers as (
  update servers s
  set server_name = r.server_name
  from server r
  where s.server_id = r.server_id and s.server_id = any(array(select o.server_id from server o))
    and s.server_name is distinct from r.server_name
),
new_servers as (
  insert into servers as s (server_id, server_name, creation_date)
  select r.server_id, r.server_name, r.creation_date
  from server r
  where (select o.server_id from servers o where o.server_id = r.server_id) is null
  order by r.server_id
  on conflict (server_id) do update
  set server_name = excluded.server_name
  where s.server_name is distinct from excluded.server_name
),
renamed_channels as (
  update channels c
  set name = r.name
  from channel r
  where c.id = r.id and c.id = any(array(select o.id from channel o))
    and c.name is distinct from r.name
),
new_channels as (
  insert into channels as c (id, name, created_at, guild_id)
  select r.id, r.name, r.created_at, r.guild_id
  from channel r
  where (select o.id from channels o where o.id = r.id) is null
  order by r.id
  on conflict (id) do update
  set name = excluded.name
  where c.name is distinct from excluded.name
),
saved as (
  insert into command_history (
    serial, command_name, args, start_date, user_id, channel_id, guild_id, slash_command,
    started_successfully
  )
  select
    r.serial,
    r.request ->> 'command_name',
    nullif(r.request -> 'args', 'null'),
    (r.request ->> 'start_date')::timestamp,
    r.user_id,
    r.channel_id,
    r.server_id,
    (r.request ->> 'slash_command')::boolean,
    (r.request ->> 'started_successfully')::boolean
  from request r
)
select r._call, r.serial
from request r;

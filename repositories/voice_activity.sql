-- name: CreateVoiceActivity
insert into voice_activity (user_id, guild_id, channel_id, action, timestamp)
values (
  :user_id, :guild_id, :channel_id, :action,
  coalesce(:timestamp::timestamptz, now()) at time zone 'UTC'
)
returning id, user_id, guild_id, channel_id, action, timestamp;

-- name: RecordVoiceState
-- batch: user_id
-- The times of jsonb end with a `Z`, which a cast to `timestamp` leaves out.
with request as (
  select
    r._call,
    r.request,
    (r.request ->> 'user_id')::bigint as user_id,
    (r.request ->> 'guild_id')::bigint as guild_id,
    coalesce((r.request ->> 'timestamp')::timestamp, now() at time zone 'UTC') as at,
    r.request -> 'before' as before,
    r.request -> 'after' as after
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
new_users as (
  insert into users (user_id, created_at, bot, username)
  select
    r.user_id,
    coalesce((r.request ->> 'user_created_at')::timestamp, '1970-01-01'),
    (r.request ->> 'bot')::boolean,
    r.request ->> 'username'
  from request r
  where (select u.user_id from users u where u.user_id = r.user_id) is null
  order by r.user_id
  on conflict (user_id) do nothing
),
activity as (
  select
    r._call, r.user_id, r.guild_id, r.at, p.action, p.place, p.channel,
    (p.channel ->> 'id')::bigint as channel_id
  from request r
  cross join lateral (
    values (1, 'left', r.before -> 'channel'), (2, 'joined', r.after -> 'channel')
  ) p (place, action, channel)
  where p.channel is not null
    and r.before #>> '{channel,id}' is distinct from r.after #>> '{channel,id}'
),
new_channels as (
  insert into channels (id, name, category_id, created_at, guild_id, position, topic, is_nsfw)
  select distinct on (a.channel_id)
    a.channel_id, c.name, c.category_id, c.created_at, coalesce(c.guild_id, a.guild_id), c.position,
    c.topic, c.is_nsfw
  from activity a
  cross join jsonb_populate_record(null::channels, a.channel) c
  where (select k.id from channels k where k.id = a.channel_id) is null
  order by a.channel_id, a._call, a.place
  on conflict (id) do nothing
),
new_activity as (
  insert into voice_activity (user_id, guild_id, channel_id, action, timestamp)
  select a.user_id, a.guild_id, a.channel_id, a.action, a.at
  from activity a
  order by a._call, a.place
),
change as (
  select r._call, r.user_id, r.at, o.key, o.value as old, n.value as new
  from request r
  cross join jsonb_each_text(r.before - 'channel') o
  join jsonb_each_text(r.after - 'channel') n using (key)
  where o.value <> n.value
),
new_updates as (
  insert into updates (updated_table, action, before, after, date, primary_key)
  select
    'voice_state', 'UPDATE_VOICE_STATE_' || upper(h.key), h.old, h.new, h.at, h.user_id::text
  from change h
  order by h._call, h.key
)
select
  r._call,
  (select count(*) from activity a where a._call = r._call) as activity_count,
  (select count(*) from change h where h._call = r._call) as update_count
from request r;

-- Of rows that were inserted or updated, an inserted one has no `xmax`.

-- part: channel
-- The columns of a channel `c`.
  c.id, c.name, c.category_id, c.created_at, c.guild_id, c.position, c.topic, c.is_nsfw, c.deleted,
  c.allow_pins

-- part: upsert
-- Makes the channels of a set what is told of them; that one is so already is only looked at.
channel as (
  select r._call, c.id, c.name, c.category_id, c.created_at, c.guild_id, c.position, c.topic, c.is_nsfw
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
  cross join jsonb_populate_record(null::channels, r.request -> 'channel') c
  where r.request ? 'channel'
),
saved_channels as (
  insert into channels as c (id, name, category_id, created_at, guild_id, position, topic, is_nsfw)
  select n.id, n.name, n.category_id, n.created_at, n.guild_id, n.position, n.topic, n.is_nsfw
  from channel n
  where (
    select
      (c.name, c.category_id, c.created_at, c.guild_id, c.position, c.topic, c.is_nsfw)
        is not distinct from (
          n.name, n.category_id, coalesce(c.created_at, n.created_at),
          coalesce(c.guild_id, n.guild_id), n.position, n.topic, n.is_nsfw
        )
    from channels c
    where c.id = n.id
  ) is not true
  order by n.id
  on conflict (id) do update
  set
    name = excluded.name,
    category_id = excluded.category_id,
    created_at = coalesce(c.created_at, excluded.created_at),
    guild_id = coalesce(c.guild_id, excluded.guild_id),
    position = excluded.position,
    topic = excluded.topic,
    is_nsfw = excluded.is_nsfw
  where (c.name, c.category_id, c.created_at, c.guild_id, c.position, c.topic, c.is_nsfw)
    is distinct from (
      excluded.name, excluded.category_id, coalesce(c.created_at, excluded.created_at),
      coalesce(c.guild_id, excluded.guild_id), excluded.position, excluded.topic, excluded.is_nsfw
    )
  returning id, xmax = 0 as created
)

-- part: upsert_category
-- The same of categories.
category as (
  select r._call, c.id, c.name, c.created_at, c.guild_id, c.position, c.is_nsfw
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
  cross join jsonb_populate_record(null::categories, r.request -> 'category') c
  where r.request ? 'category'
),
saved_categories as (
  insert into categories as c (id, name, created_at, guild_id, position, is_nsfw)
  select n.id, n.name, n.created_at, n.guild_id, n.position, n.is_nsfw
  from category n
  where (
    select
      (c.name, c.created_at, c.guild_id, c.position, c.is_nsfw)
        is not distinct from (
          n.name, coalesce(c.created_at, n.created_at), coalesce(c.guild_id, n.guild_id), n.position,
          n.is_nsfw
        )
    from categories c
    where c.id = n.id
  ) is not true
  order by n.id
  on conflict (id) do update
  set
    name = excluded.name,
    created_at = coalesce(c.created_at, excluded.created_at),
    guild_id = coalesce(c.guild_id, excluded.guild_id),
    position = excluded.position,
    is_nsfw = excluded.is_nsfw
  where (c.name, c.created_at, c.guild_id, c.position, c.is_nsfw)
    is distinct from (
      excluded.name, coalesce(c.created_at, excluded.created_at),
      coalesce(c.guild_id, excluded.guild_id), excluded.position, excluded.is_nsfw
    )
  returning id, xmax = 0 as created
)

-- name: CreateChannel
with new_category as (
  insert into categories (id, guild_id)
  select n.id, :channel.guild_id
  from (select :channel.category_id::bigint as id) n
  where n.id is not null and (select c.id from categories c where c.id = n.id) is null
  on conflict (id) do nothing
)
insert into channels as c (id, name, category_id, created_at, guild_id, position, topic, is_nsfw)
values (
  :channel.id, :channel.name, :channel.category_id, :channel.created_at, :channel.guild_id,
  :channel.position, :channel.topic, :channel.is_nsfw
)
returning :part.channel;

-- name: EnsureChannel
with saved as (
  insert into channels (id, name, category_id, created_at, guild_id, position, topic, is_nsfw)
  values (
    :channel.id, :channel.name, :channel.category_id, :channel.created_at, :channel.guild_id,
    :channel.position, :channel.topic, :channel.is_nsfw
  )
  on conflict (id) do nothing
  returning id
)
select exists (select from saved) as created;

-- name: UpsertChannel
-- batch: channel.id
with :part.upsert
select n._call, coalesce(s.created, false) as created, coalesce(not s.created, false) as updated
from channel n
left join saved_channels s using (id);

-- name: UpsertInteractionChannel
-- batch: id
-- Who has this name already is only looked at: every command comes with its channel.
with request as (
  select
    r._call,
    (r.request ->> 'id')::bigint as id,
    (r.request ->> 'guild_id')::bigint as guild_id,
    r.request ->> 'name' as name,
    (r.request ->> 'created_at')::timestamp as created_at
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
saved as (
  insert into channels as c (id, name, created_at, guild_id)
  select r.id, r.name, r.created_at, r.guild_id
  from request r
  where (select k.name from channels k where k.id = r.id) is distinct from r.name
  order by r.id
  on conflict (id) do update
  set name = excluded.name
  where c.name is distinct from excluded.name
  returning id, xmax = 0 as created
)
select r._call, coalesce(s.created, false) as created, coalesce(not s.created, false) as updated
from request r
left join saved s using (id);

-- name: MarkChannelDeleted
-- scan: threads: a channel is seldom deleted, and its messages are many more
-- An array of channels is looked up in the index; a join may read all messages.
with channel as (select c.id from channels c where c.id = :id),
marked_channel as (
  update channels
  set deleted = true
  where id = :id and not deleted
  returning id, name
),
thread as (
  select t.id
  from channel c
  join threads t on t.parent_id = c.id
),
marked_threads as (
  update threads t
  set deleted = true
  from thread r
  where t.id = r.id and not t.deleted
  returning t.id, t.name
),
logged as (
  insert into updates (updated_table, action, before, date, primary_key)
  select 'channels', 'DELETE_CHANNEL', c.name, now() at time zone 'UTC', c.id::text
  from marked_channel c
  union all
  select 'threads', 'THREAD_DELETED', t.name, now() at time zone 'UTC', t.id::text
  from marked_threads t
),
marked_messages as (
  update messages
  set deleted = true
  where channel_id = any(array(select id from channel union all select id from thread))
    and not deleted
  returning message_id
)
select
  (select count(*) from marked_threads) as thread_count,
  (select count(*) from marked_messages) as message_count
from channel c;

-- name: UpdateChannel
with before as (
  select :part.channel
  from channels c
  where c.id = :channel.id
  for no key update
),
after as (
  select
    b.id,
    case when 'name' = any(:update_mask) then :channel.name else b.name end as name,
    case
      when 'category_id' = any(:update_mask) then :channel.category_id else b.category_id
    end as category_id,
    b.created_at,
    b.guild_id,
    case when 'position' = any(:update_mask) then :channel.position else b.position end as position,
    case when 'topic' = any(:update_mask) then :channel.topic else b.topic end as topic,
    case when 'is_nsfw' = any(:update_mask) then :channel.is_nsfw else b.is_nsfw end as is_nsfw,
    b.deleted,
    b.allow_pins
  from before b
),
change as (
  select o.key, o.value as old, n.value as new
  from before b
  cross join after a
  cross join jsonb_each_text(to_jsonb(b)) o
  join jsonb_each_text(to_jsonb(a)) n using (key)
  where o.value is distinct from n.value
),
updated as (
  update channels c
  set
    name = a.name,
    category_id = a.category_id,
    position = a.position,
    topic = a.topic,
    is_nsfw = a.is_nsfw
  from after a
  where c.id = a.id and exists (select from change)
),
logged as (
  insert into updates (updated_table, action, before, after, date, primary_key)
  select
    'channels', 'UPDATE_CHANNEL_' || upper(h.key), h.old, h.new, now() at time zone 'UTC',
    :channel.id::text
  from change h
)
select :part.channel
from after c;

-- name: UpsertCategory
-- batch: category.id
with :part.upsert_category
select n._call, coalesce(s.created, false) as created, coalesce(not s.created, false) as updated
from category n
left join saved_categories s using (id);

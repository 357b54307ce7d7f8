-- part: thread
-- The columns of a thread `t`.
  t.id, t.guild_id, t.parent_id, t.owner_id, t.slowmode_delay, t.archived, t.locked, t.archiver_id,
  t.auto_archive_duration, t.is_private, t.name, t.deleted

-- part: insert
-- Adds the request's thread.
  insert into threads as t (
    id, guild_id, parent_id, owner_id, slowmode_delay, archived, locked, archiver_id,
    auto_archive_duration, is_private, name
  )
  values (
    :thread.id, :thread.guild_id, :thread.parent_id, :thread.owner_id, :thread.slowmode_delay,
    :thread.archived, :thread.locked, :thread.archiver_id, :thread.auto_archive_duration,
    :thread.is_private, :thread.name
  )

-- part: request
-- The members of a set.
request as (
  select
    r._call,
    (r.request ->> 'user_id')::bigint as user_id,
    (r.request ->> 'thread_id')::bigint as thread_id
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
)

-- name: CreateThread
:part.insert
returning :part.thread;

-- name: MarkThreadDeleted
with marked_thread as (
  update threads
  set deleted = true
  where id = :id and not deleted
),
marked_messages as (
  update messages
  set deleted = true
  where channel_id = :id and not deleted and exists (select from threads t where t.id = :id)
  returning message_id
)
select (select count(*) from marked_messages) as message_count
from threads t
where t.id = :id;

-- name: UpdateThread
with before as (
  select :part.thread
  from threads t
  where t.id = :thread.id
  for no key update
),
after as (
  select
    b.id,
    b.guild_id,
    b.parent_id,
    b.owner_id,
    case
      when 'slowmode_delay' = any(:update_mask) then :thread.slowmode_delay else b.slowmode_delay
    end as slowmode_delay,
    case when 'archived' = any(:update_mask) then :thread.archived else b.archived end as archived,
    case when 'locked' = any(:update_mask) then :thread.locked else b.locked end as locked,
    case
      when 'archiver_id' = any(:update_mask) then :thread.archiver_id else b.archiver_id
    end as archiver_id,
    case
      when 'auto_archive_duration' = any(:update_mask) then :thread.auto_archive_duration
      else b.auto_archive_duration
    end as auto_archive_duration,
    case
      when 'is_private' = any(:update_mask) then :thread.is_private else b.is_private
    end as is_private,
    case when 'name' = any(:update_mask) then :thread.name else b.name end as name,
    b.deleted
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
  update threads t
  set
    slowmode_delay = a.slowmode_delay,
    archived = a.archived,
    locked = a.locked,
    archiver_id = a.archiver_id,
    auto_archive_duration = a.auto_archive_duration,
    is_private = a.is_private,
    name = a.name
  from after a
  where t.id = a.id and exists (select from change)
),
logged as (
  insert into updates (updated_table, action, before, after, date, primary_key)
  select
    'threads', 'THREAD_' || upper(h.key) || '_UPDATED', h.old, h.new, now() at time zone 'UTC',
    :thread.id::text
  from change h
)
select :part.thread
from after t;

-- name: UpsertThread
-- Of a row that was inserted or updated, an inserted one has no `xmax`.
with saved as (
  :part.insert
  on conflict (id) do update
  set
    guild_id = coalesce(t.guild_id, excluded.guild_id),
    parent_id = coalesce(t.parent_id, excluded.parent_id),
    owner_id = coalesce(t.owner_id, excluded.owner_id),
    slowmode_delay = excluded.slowmode_delay,
    archived = excluded.archived,
    locked = excluded.locked,
    archiver_id = excluded.archiver_id,
    auto_archive_duration = excluded.auto_archive_duration,
    is_private = coalesce(t.is_private, excluded.is_private),
    name = excluded.name,
    deleted = false
  where (:part.thread)
    is distinct from (
      excluded.id, coalesce(t.guild_id, excluded.guild_id),
      coalesce(t.parent_id, excluded.parent_id), coalesce(t.owner_id, excluded.owner_id),
      excluded.slowmode_delay, excluded.archived, excluded.locked, excluded.archiver_id,
      excluded.auto_archive_duration, coalesce(t.is_private, excluded.is_private), excluded.name,
      false
    )
  returning xmax = 0 as created
)
select
  exists (select from saved s where s.created) as created,
  exists (select from saved s where not s.created) as updated;

-- name: AddThreadMember
-- batch: user_id, thread_id
with :part.request,
added as (
  insert into thread_membership (user_id, thread_id)
  select r.user_id, r.thread_id
  from request r
  where (
    select m.serial_id
    from thread_membership m
    where m.user_id = r.user_id and m.thread_id = r.thread_id
  ) is null
  order by r.user_id, r.thread_id
  on conflict (user_id, thread_id) do nothing
  returning user_id, thread_id
)
select r._call, a.user_id is not null as created
from request r
left join added a using (user_id, thread_id);

-- name: RemoveThreadMember
-- batch: user_id, thread_id
with :part.request,
removed as (
  delete from thread_membership m
  using request r
  where m.user_id = r.user_id and m.thread_id = r.thread_id
  returning m.user_id, m.thread_id
)
select r._call, d.user_id is not null as removed
from request r
left join removed d using (user_id, thread_id);

-- part: thread
-- The columns of a thread `t`.
  t.id, t.guild_id, t.parent_id, t.owner_id, t.slowmode_delay, t.archived, t.locked, t.archiver_id,
  t.auto_archive_duration, t.is_private, t.name, t.deleted

-- part: upsert
-- Makes the threads of a set what is told of them; that one is so already is only looked at. Of rows that
-- were inserted or updated, an inserted one has no `xmax`.
thread as (
  select
    r._call, t.id, t.guild_id, t.parent_id, t.owner_id, t.slowmode_delay, t.archived, t.locked,
    t.archiver_id, t.auto_archive_duration, t.is_private, t.name
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
  cross join jsonb_populate_record(null::threads, r.request -> 'thread') t
  where r.request ? 'thread'
),
saved_threads as (
  insert into threads as t (
    id, guild_id, parent_id, owner_id, slowmode_delay, archived, locked, archiver_id,
    auto_archive_duration, is_private, name
  )
  select
    n.id, n.guild_id, n.parent_id, n.owner_id, n.slowmode_delay, n.archived, n.locked, n.archiver_id,
    n.auto_archive_duration, n.is_private, n.name
  from thread n
  where (
    select
      (
        t.guild_id, t.parent_id, t.owner_id, t.slowmode_delay, t.archived, t.locked, t.archiver_id,
        t.auto_archive_duration, t.is_private, t.name, t.deleted
      )
        is not distinct from (
          coalesce(t.guild_id, n.guild_id), coalesce(t.parent_id, n.parent_id),
          coalesce(t.owner_id, n.owner_id), n.slowmode_delay, n.archived, n.locked, n.archiver_id,
          n.auto_archive_duration, coalesce(t.is_private, n.is_private), n.name, false
        )
    from threads t
    where t.id = n.id
  ) is not true
  order by n.id
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
  where (
      t.guild_id, t.parent_id, t.owner_id, t.slowmode_delay, t.archived, t.locked, t.archiver_id,
      t.auto_archive_duration, t.is_private, t.name, t.deleted
    )
    is distinct from (
      coalesce(t.guild_id, excluded.guild_id), coalesce(t.parent_id, excluded.parent_id),
      coalesce(t.owner_id, excluded.owner_id), excluded.slowmode_delay, excluded.archived,
      excluded.locked, excluded.archiver_id, excluded.auto_archive_duration,
      coalesce(t.is_private, excluded.is_private), excluded.name, false
    )
  returning id, xmax = 0 as created
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
with created as (
  insert into threads as t (
    id, guild_id, parent_id, owner_id, slowmode_delay, archived, locked, archiver_id,
    auto_archive_duration, is_private, name
  )
  values (
    :thread.id, :thread.guild_id, :thread.parent_id, :thread.owner_id, :thread.slowmode_delay,
    :thread.archived, :thread.locked, :thread.archiver_id, :thread.auto_archive_duration,
    :thread.is_private, :thread.name
  )
  returning :part.thread
),
logged as (
  insert into updates (updated_table, action, after, date, primary_key)
  select 'threads', 'THREAD_CREATED', c.name, now() at time zone 'UTC', c.id::text
  from created c
)
select :part.thread
from created t;

-- name: MarkThreadDeleted
with marked_thread as (
  update threads
  set deleted = true
  where id = :id and not deleted
  returning id, name
),
logged as (
  insert into updates (updated_table, action, before, date, primary_key)
  select 'threads', 'THREAD_DELETED', m.name, now() at time zone 'UTC', m.id::text
  from marked_thread m
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
-- batch: thread.id
with :part.upsert
select n._call, coalesce(s.created, false) as created, coalesce(not s.created, false) as updated
from thread n
left join saved_threads s using (id);

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
-- The array makes it look members up, where a join may read them all.
-- batch: user_id, thread_id
with :part.request,
removed as (
  delete from thread_membership m
  using request r
  where m.user_id = r.user_id and m.thread_id = r.thread_id
    and m.user_id = any(array(select o.user_id from request o))
  returning m.user_id, m.thread_id
)
select r._call, d.user_id is not null as removed
from request r
left join removed d using (user_id, thread_id);

-- Comings and goings, changes of roles, and the memberships that follow. Inserts leave out what is there
-- before they meet it: they would draw from their sequences all the same.

-- part: record
-- Records the coming or going that `event` tells. `latest` is it, unless it was recorded already or
-- something later was.
recorded as (
  insert into join_leave (user_id, user_name, date, join_or_leave, server_name, server_id, created_at)
  select :user_id, :user_name, :date, e.join_or_leave, :server_name, :server_id, :created_at
  from event e
  where not exists (
    select from join_leave j
    where j.user_id = :user_id and j.server_id = :server_id and j.date = :date
      and j.join_or_leave = e.join_or_leave
  )
  on conflict (user_id, server_id, date, join_or_leave) do nothing
  returning user_id, server_id, date
),
latest as (
  select r.user_id, r.server_id
  from recorded r
  where not exists (
    select from join_leave j
    where j.user_id = r.user_id and j.server_id = r.server_id and j.date > r.date
  )
)

-- part: memberships
-- Adds the memberships of `member` that are not there.
saved_memberships as (
  insert into server_membership (user_id, server_id)
  select n.user_id, n.server_id
  from member n
  where (
    select m.serial_id
    from server_membership m
    where m.user_id = n.user_id and m.server_id = n.server_id
  ) is null
  order by n.user_id, n.server_id
  on conflict (user_id, server_id) do nothing
  returning user_id
)

-- name: RecordMemberJoin
with event as (select 'join' as join_or_leave),
:part.record,
new_server as (
  insert into servers (server_id, server_name)
  select r.server_id, nullif(:server_name, '')
  from recorded r
  where (select s.server_id from servers s where s.server_id = r.server_id) is null
  on conflict (server_id) do nothing
),
new_user as (
  insert into users (user_id, created_at, bot, username)
  select r.user_id, coalesce(:created_at, '1970-01-01'), :bot, coalesce(:user_name, '')
  from recorded r
  where (select u.user_id from users u where u.user_id = r.user_id) is null
  on conflict (user_id) do nothing
),
joined as (
  insert into server_membership (user_id, server_id)
  select l.user_id, l.server_id
  from latest l
  where not exists (
    select from server_membership m
    where m.user_id = l.user_id and m.server_id = l.server_id
  )
  on conflict (user_id, server_id) do nothing
)
select exists (select from recorded) as recorded;

-- name: RecordMemberLeave
with event as (select 'leave' as join_or_leave),
:part.record,
left_server as (
  delete from server_membership m
  using latest l
  where m.user_id = l.user_id and m.server_id = l.server_id
),
left_roles as (
  delete from role_membership m
  using latest l, roles r
  where m.user_id = l.user_id and m.role_id = r.id and r.guild_id = l.server_id
)
select exists (select from recorded) as recorded;

-- name: BatchGetServerMemberIds
select m.user_id as user_ids
from server_membership m
where m.user_id = any(:user_ids) and m.server_id = :server_id
order by m.user_id;

-- name: BatchCreateServerMemberships
with member as (
  select distinct m.user_id, m.server_id
  from jsonb_to_recordset(:memberships) m (user_id bigint, server_id bigint)
),
:part.memberships
select count(*) as count
from saved_memberships;

-- name: RecordRoleChange
with recorded as (
  insert into role_changes (user_id, server_id, role_id, action, timestamp)
  select distinct :user_id::bigint, :server_id::bigint, c.role_id, c.action, :timestamp::timestamp
  from jsonb_to_recordset(:changes) c (role_id bigint, action text)
  where not exists (
    select from role_changes o
    where o.user_id = :user_id and o.role_id = c.role_id and o.timestamp = :timestamp
      and o.server_id = :server_id and o.action = c.action
  )
  order by c.role_id, c.action
  on conflict (user_id, role_id, timestamp, server_id, action) do nothing
  returning user_id, role_id, action, timestamp
),
latest as (
  select r.user_id, r.role_id, r.action
  from recorded r
  where not exists (
    select from role_changes o
    where o.user_id = r.user_id and o.role_id = r.role_id and o.timestamp > r.timestamp
  )
),
gained as (
  insert into role_membership (user_id, role_id)
  select u.user_id, r.id
  from latest l
  join users u using (user_id)
  join roles r on r.id = l.role_id
  where l.action = 'added'
    and not exists (
      select from role_membership m
      where m.user_id = l.user_id and m.role_id = l.role_id
    )
  on conflict (user_id, role_id) do nothing
),
lost as (
  delete from role_membership m
  using latest l
  where m.user_id = l.user_id and m.role_id = l.role_id and l.action = 'removed'
)
select count(*) as recorded
from recorded;

-- Users. An insert that meets a row draws from its sequence all the same: users that are there are left
-- out before.

-- part: add
-- Adds the users of `source` that are not there.
created as (
  insert into users (user_id, created_at, bot, username)
  select s.user_id, coalesce(s.created_at, '1970-01-01'), s.bot, s.username
  from source s
  where (select u.user_id from users u where u.user_id = s.user_id) is null
  order by s.user_id
  on conflict (user_id) do nothing
  returning user_id
)

-- part: upsert
-- Adds the users of `source` that are not there, and renames those that have other names. A user whom
-- somebody else adds meanwhile is met by the insert. The array makes it look users up, where a join may
-- read them all.
renamed_users as (
  update users u
  set username = s.username
  from source s
  where u.user_id = s.user_id and u.user_id = any(array(select o.user_id from source o))
    and u.username <> s.username
  returning u.user_id
),
written_users as (
  insert into users as w (user_id, created_at, bot, username)
  select s.user_id, coalesce(s.created_at, '1970-01-01'), s.bot, s.username
  from source s
  where (select u.user_id from users u where u.user_id = s.user_id) is null
  order by s.user_id
  on conflict (user_id) do update
  set username = excluded.username
  where w.username <> excluded.username
  returning user_id, xmax = 0 as created
),
saved_users as (
  select w.user_id, w.created
  from written_users w
  union all
  select r.user_id, false
  from renamed_users r
)

-- part: source
-- The users that the calls of a set name.
with source as (
  select
    r._call,
    (r.request ->> 'user_id')::bigint as user_id,
    (r.request ->> 'created_at')::timestamp as created_at,
    (r.request ->> 'bot')::boolean as bot,
    r.request ->> 'username' as username
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
)

-- part: joined_and_left
-- The users of `join_leave`. A time that is no earlier than the event is not the account's.
  select
    j.user_id,
    min(j.created_at) filter (where j.created_at < j.date) as created_at,
    (
      array_agg(j.user_name order by j.date desc, j.id desc) filter (where j.user_name is not null)
    )[1] as user_name
  from join_leave j
  group by j.user_id

-- name: GetUser
select u.user_id, u.created_at, u.bot, u.username
from users u
where u.user_id = :user_id;

-- name: EnsureUser
-- batch: user_id
:part.source,
:part.add
select s._call, s.user_id in (select c.user_id from created c) as created
from source s;

-- name: EnsureUserWithoutDate
-- batch: user_id
:part.source,
:part.add
select s._call, s.user_id in (select c.user_id from created c) as created
from source s;

-- name: UpsertUser
-- batch: user_id
:part.source,
:part.upsert
select
  s._call,
  s.user_id in (select u.user_id from saved_users u where u.created) as created,
  s.user_id in (select u.user_id from saved_users u where not u.created) as renamed
from source s;

-- name: UpdateUsername
with stored as (
  select u.user_id, u.username
  from users u
  where u.user_id = :user_id
  for no key update
),
renamed as (
  update users u
  set username = :username
  from stored s
  where u.user_id = s.user_id and s.username <> :username
  returning u.user_id
),
logged as (
  insert into updates (updated_table, action, before, after, date, primary_key)
  select 'users', 'UPDATE_USERNAME', s.username, :username, now() at time zone 'UTC', s.user_id::text
  from stored s
  where s.username <> :username
)
select exists (select from renamed) as renamed
from stored s;

-- name: BatchGetExistingUserIds
select u.user_id as user_ids
from users u
where u.user_id = any(:user_ids)
order by u.user_id;

-- name: BatchCreateUsers
with source as (
  select u.user_id, u.created_at, u.bot, u.username
  from jsonb_populate_recordset(null::users, :users) u
),
:part.add
select count(*) as count
from created;

-- name: ListJoinLeaveUsers
-- page: j.user_id
select j.user_id, j.created_at, j.user_name
from (
:part.joined_and_left
) j
where :page.after
order by j.user_id
limit :page.size;

-- name: ImportUsersFromJoinLeave
-- It reads the whole of `join_leave`: an import is for all of it.
with source as (
  select j.user_id, j.created_at, null::boolean as bot, coalesce(j.user_name, '') as username
  from (
:part.joined_and_left
  ) j
),
:part.add
select count(*) as created
from created;

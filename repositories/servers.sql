-- name: UpsertServer
-- batch: server_id
-- What is there is looked at first: an insert that meets a row draws from the sequence and locks it.
with request as (
  select
    r._call,
    (r.request ->> 'server_id')::bigint as server_id,
    r.request ->> 'server_name' as server_name,
    (r.request ->> 'creation_date')::timestamp as creation_date
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
saved as (
  insert into servers as s (server_id, server_name, creation_date)
  select r.server_id, r.server_name, r.creation_date
  from request r
  where not exists (
    select
    from servers k
    where k.server_id = r.server_id
      and k.server_name = r.server_name
      and (k.creation_date is not null or r.creation_date is null)
  )
  order by r.server_id
  on conflict (server_id) do update
  set
    server_name = excluded.server_name,
    creation_date = coalesce(s.creation_date, excluded.creation_date)
  where (s.server_name, s.creation_date)
    is distinct from (
      excluded.server_name, coalesce(s.creation_date, excluded.creation_date)
    )
  -- Of a row that was inserted or updated, an inserted one has no `xmax`.
  returning server_id, xmax = 0 as created
)
select r._call, coalesce(s.created, false) as created, coalesce(not s.created, false) as updated
from request r
left join saved s using (server_id);

-- name: UpdateServerName
with before as (
  select s.server_id, s.server_name, s.creation_date
  from servers s
  where s.server_id = :server_id
  for no key update
),
updated as (
  update servers s
  set server_name = :server_name
  from before b
  where s.server_id = b.server_id and b.server_name is distinct from :server_name
),
logged as (
  insert into updates (updated_table, action, before, after, date, primary_key)
  select
    'servers', 'UPDATE_SERVER_NAME', b.server_name, :server_name, now() at time zone 'UTC',
    b.server_id::text
  from before b
  where b.server_name is distinct from :server_name
)
select b.server_id, :server_name::text as server_name, b.creation_date
from before b;

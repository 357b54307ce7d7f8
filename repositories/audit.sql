-- name: LogUpdate
-- batch: updated_table, primary_key, action
insert into updates (updated_table, action, before, after, date, primary_key)
select
  r.request ->> 'updated_table',
  r.request ->> 'action',
  r.request ->> 'before',
  r.request ->> 'after',
  now() at time zone 'UTC',
  r.request ->> 'primary_key'
from jsonb_array_elements(:requests) with ordinality r (request, _call)
order by r._call;

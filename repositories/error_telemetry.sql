-- part: in_period
e.timestamp >= coalesce(:start_date::timestamp, now() at time zone 'UTC' - interval '30 days')
and e.timestamp <= coalesce(:end_date::timestamp, now() at time zone 'UTC')

-- part: counts
-- Counts of the errors `e` of a group.
  count(*) as error_count,
  count(distinct e.user_id) as affected_users,
  min(e.timestamp) as first_occurrence,
  max(e.timestamp) as last_occurrence

-- name: CreateErrorRecord
insert into error_telemetry (
  error_type, command_name, user_id, error_message, guild_id, channel_id, timestamp
)
values (
  :error_type, :command_name, :user_id, :error_message, :guild_id, :channel_id,
  coalesce(:timestamp::timestamp, now() at time zone 'UTC')
)
returning id;

-- name: GetErrorStatistics
select
  e.error_type,
  e.command_name,
:part.counts
from error_telemetry e
where :part.in_period
group by e.error_type, e.command_name
order by error_count desc, e.error_type, e.command_name
limit :limit;

-- name: ListMostCommonErrors
select
  e.error_type,
  e.error_message,
:part.counts
from error_telemetry e
where :part.in_period
group by e.error_type, e.error_message
order by error_count desc, e.error_type, e.error_message
limit :limit;

-- name: ResolveError
update error_telemetry
set resolved = true, resolution_notes = :resolution_notes
where id = :id
returning
  id, error_type, command_name, user_id, error_message, guild_id, channel_id, timestamp, resolved,
  resolution_notes;

-- name: EnsureBotMetricsTable
-- scan: bot_metrics: no further than its first row
-- Of a table that is not there, or may not be read, the database tells an error instead.
select count(*) >= 0 as exists
from (
  select id
  from bot_metrics
  limit 1
) m;

-- name: CreateBotMetric
insert into bot_metrics (timestamp, metric_type, metric_data)
values (
  coalesce(:timestamp::timestamp, now() at time zone 'UTC'), :metric_type,
  nullif(:metric_data::jsonb, 'null')
)
returning id;

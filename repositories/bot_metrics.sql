-- name: EnsureBotMetricsTable
select to_regclass('bot_metrics') is not null as exists;

-- name: CreateBotMetric
insert into bot_metrics (timestamp, metric_type, metric_data)
values (
  coalesce(:timestamp::timestamp, now() at time zone 'UTC'), :metric_type,
  nullif(:metric_data::jsonb, 'null')
)
returning id;

-- How the bot itself is doing.

-- up
create table error_telemetry (
  id bigserial constraint error_telemetry_pkey primary key,
  error_type text not null,
  command_name text,
  user_id bigint,
  error_message text,
  guild_id bigint,
  channel_id bigint,
  timestamp timestamp not null default (now() at time zone 'UTC'),
  resolved boolean not null default false,
  resolution_notes text
);

-- GetErrorStatistics, ListMostCommonErrors of a period.
create index error_telemetry_timestamp_index on error_telemetry (timestamp);

create table bot_metrics (
  id bigserial constraint bot_metrics_pk primary key,
  timestamp timestamp not null default (now() at time zone 'UTC'),
  metric_type text not null,
  metric_data jsonb
);

-- down
drop table bot_metrics, error_telemetry;

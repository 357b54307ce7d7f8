-- What `twi-data optimize base` makes: the indexes, views, functions and settings that the old
-- layer applied at each start. README.md says how steps are written.

-- step: idx_messages_created_at
-- Messages of all channels by time.
create index idx_messages_created_at on messages (created_at);

-- step: idx_messages_channel_id
create index idx_messages_channel_id on messages (channel_id);

-- step: idx_messages_channel_created
create index idx_messages_channel_created on messages (channel_id, created_at);

-- step: idx_messages_channel_created_at
create index idx_messages_channel_created_at on messages (channel_id, created_at desc);

-- step: idx_messages_active
-- Without what is deleted, as it was, it would save next to nothing.
create index idx_messages_active on messages (channel_id, created_at);

-- step: idx_messages_user_id
create index idx_messages_user_id on messages (user_id);

-- step: idx_messages_user_created
create index idx_messages_user_created on messages (user_id, created_at);

-- step: idx_messages_user_created_at
create index idx_messages_user_created_at on messages (user_id, created_at desc);

-- step: idx_messages_server_created
-- GetServerStats, ListDailyActivity.
create index idx_messages_server_created on messages (server_id, created_at);

-- step: idx_messages_server_id
create index idx_messages_server_id on messages (server_id);

-- step: idx_messages_is_bot
-- What bots wrote, by time. Of all messages by is_bot, as it was, no reader of the many that people
-- wrote would use it, and each would cost an entry.
create index idx_messages_is_bot on messages (created_at) where is_bot;

-- step: idx_attachments_message_id
create index idx_attachments_message_id on attachments (message_id);

-- step: idx_reactions_date
-- Reactions by time.
create index idx_reactions_date on reactions (date);

-- step: idx_reactions_message_id
create index idx_reactions_message_id on reactions (message_id);

-- step: idx_reactions_message_emoji
-- How often a message got a server's own emoji.
create index idx_reactions_message_emoji on reactions (message_id, emoji_id)
where emoji_id is not null;

-- step: idx_reactions_message_unicode
-- How often a message got a Unicode emoji.
create index idx_reactions_message_unicode on reactions (message_id, unicode_emoji)
where unicode_emoji is not null;

-- step: idx_reactions_user_id
-- The reactions of a member.
create index idx_reactions_user_id on reactions (user_id);

-- step: idx_join_leave_date
-- Comings and goings of all servers by time.
create index idx_join_leave_date on join_leave (date);

-- step: idx_join_leave_join_or_leave
-- Comings, or goings, of all servers by time. By join_or_leave alone, as it was, half the table is
-- alike.
create index idx_join_leave_join_or_leave on join_leave (join_or_leave, date);

-- step: idx_join_leave_server_id
create index idx_join_leave_server_id on join_leave (server_id);

-- step: idx_threads_active
-- The threads of a channel that are there.
create index idx_threads_active on threads (guild_id, parent_id) where not deleted;

-- step: idx_role_membership_role
-- The members of a role, and by way of its roles those of a server.
create index idx_role_membership_role on role_membership (role_id);

-- step: idx_poll_option_text_search
create index idx_poll_option_text_search on poll_option using gin (tokens);

-- step: idx_quotes_text_search
create index idx_quotes_text_search on quotes using gin (tokens);

-- step: idx_creator_links_user_id
create index idx_creator_links_user_id on creator_links (user_id);

-- step: idx_gallery_migration_channel_id
-- The posts of a channel.
create index idx_gallery_migration_channel_id on gallery_migration (channel_id);

-- step: idx_gallery_migration_content_type
create index idx_gallery_migration_content_type on gallery_migration (content_type);

-- step: idx_gallery_migration_created_at
-- Posts by time, moved or not.
create index idx_gallery_migration_created_at on gallery_migration (created_at);

-- step: idx_gallery_migration_extracted_at
create index idx_gallery_migration_extracted_at on gallery_migration (extracted_at);

-- step: idx_gallery_migration_message_id
create index idx_gallery_migration_message_id on gallery_migration (message_id);

-- step: idx_gallery_migration_migrated
-- The posts that were moved, by time; those that were not have an index already.
create index idx_gallery_migration_migrated on gallery_migration (migrated_at) where migrated;

-- step: idx_gallery_migration_needs_review
create index idx_gallery_migration_needs_review on gallery_migration (created_at, message_id)
where needs_manual_review and not reviewed;

-- step: idx_gallery_migration_target_forum
create index idx_gallery_migration_target_forum on gallery_migration (target_forum);

-- step: error_telemetry_command_name_idx
-- The errors of a command by time.
create index error_telemetry_command_name_idx on error_telemetry (command_name, timestamp);

-- step: error_telemetry_error_type_idx
-- The errors of a type by time.
create index error_telemetry_error_type_idx on error_telemetry (error_type, timestamp);

-- step: error_telemetry_timestamp_idx
create index error_telemetry_timestamp_idx on error_telemetry (timestamp);

-- step: error_telemetry_user_id_idx
-- The errors of a member.
create index error_telemetry_user_id_idx on error_telemetry (user_id);

-- step: autovacuum_messages
-- Vacuumed early, and at full pace: edits, soft deletes and changes of mind leave dead rows all over
-- large tables.
alter table messages set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 2);

-- step: autovacuum_reactions
alter table reactions set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 2);

-- step: autovacuum_role_membership
alter table role_membership
set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 2);

-- step: user_activity_stats
-- What each person wrote in the last 30 days.
create materialized view user_activity_stats as
select
  user_id,
  count(*) as message_count,
  min(created_at) as first_message,
  max(created_at) as last_message,
  count(distinct channel_id) as active_channels,
  now() as as_of
from messages
where created_at > (now() at time zone 'UTC') - interval '30 days'
  and not is_bot
  and user_id is not null
group by user_id
with no data;

create unique index user_activity_stats_key on user_activity_stats (user_id);

-- step: channel_hourly_stats
-- At which hour of the day (UTC) how much was written in each channel in the last 30 days, by bots
-- too.
create materialized view channel_hourly_stats as
select
  channel_id,
  extract(hour from created_at)::integer as hour,
  count(*) as message_count,
  now() as as_of
from messages
where created_at > (now() at time zone 'UTC') - interval '30 days'
group by channel_id, extract(hour from created_at)::integer
with no data;

create unique index channel_hourly_stats_key on channel_hourly_stats (channel_id, hour);

-- step: daily_message_stats
-- What people wrote in each channel of every server in the last day, under the channel's last name.
create materialized view daily_message_stats as
select
  count(*) as total,
  channel_id,
  (array_agg(channel_name order by created_at desc, message_id desc))[1] as channel_name,
  server_id,
  now() as as_of
from messages
where created_at > (now() at time zone 'UTC') - interval '1 day'
  and not is_bot
group by server_id, channel_id
with no data;

create unique index daily_message_stats_key on daily_message_stats (server_id, channel_id);

-- step: daily_member_stats
-- How many came to and left each server in the last day.
create materialized view daily_member_stats as
select
  count(*) filter (where join_or_leave = 'join') as joins,
  count(*) filter (where join_or_leave = 'leave') as leaves,
  server_id,
  now() as as_of
from join_leave
where date > (now() at time zone 'UTC') - interval '1 day'
group by server_id
with no data;

create unique index daily_member_stats_key on daily_member_stats (server_id);

-- step: refresh_materialized_views
-- Computes those of the six views anew that are there. Readers of the views do not wait.
create function refresh_materialized_views() returns void
language plpgsql
as $$
declare
  view record;
begin
  for view in
    select c.oid::regclass as name, c.relispopulated as populated
    from pg_class c
    where c.relnamespace = current_schema()::regnamespace
      and c.relkind = 'm'
      and c.relname in ('user_activity_stats', 'channel_hourly_stats', 'daily_message_stats',
                        'daily_member_stats', 'user_channel_activity', 'weekly_message_stats')
    order by c.relname
  loop
    execute format('refresh materialized view %s %s',
                   case when view.populated then 'concurrently' end, view.name);
  end loop;
end
$$;

-- step: index_bloat
-- The btree indexes of this schema: how large each is, how large it would be if it were made now,
-- and whether it is worth making anew: twice as large, and a MiB at least to be had.
--
-- An estimate from the statistics, never below what a new index takes: a row takes its entry at full
-- width, aligned, with a null bitmap wherever a column may be NULL. Of what entries of one value
-- share, it counts what the most common values of a single column share for sure.
create function index_bloat()
returns table (index regclass, bytes bigint, expected_bytes bigint, bloated boolean)
language sql stable
as $$
  with indexes as (
    select
      i.oid, x.indrelid, t.relname as table_name, i.relname as index_name, i.reltuples, x.indkey,
      pg_relation_size(i.oid) as bytes,
      coalesce(substring(array_to_string(i.reloptions, ' ') from 'fillfactor=(\d+)')::float8, 90)
        / 100 as fill,
      -- Entries of equal values share a tuple.
      x.indnatts = 1 and exists (
        select
        from pg_opclass o
        join pg_amproc p on p.amprocfamily = o.opcfamily and p.amproclefttype = o.opcintype
        where o.oid = x.indclass[0] and p.amprocnum = 4) as shares
    from pg_index x
    join pg_class i on i.oid = x.indexrelid
    join pg_class t on t.oid = x.indrelid
    where i.relnamespace = current_schema()::regnamespace
      and i.relkind = 'i'
      and i.relam = (select oid from pg_am where amname = 'btree')
      and i.reltuples >= 0
      and x.indisvalid
  ),
  entries as (
    select
      i.oid,
      sum(case
        when a.attlen > 0 then a.attlen
        else s.avg_width + case a.attalign when 'd' then 7 when 'i' then 3 else 0 end end) as width,
      -- Of text and the like nothing is known before the first ANALYZE.
      bool_and(a.attlen > 0 or s.avg_width is not null) as known,
      bool_or(coalesce(s.null_frac, 1) > 0) as nullable,
      sum((select sum(f) from unnest(s.most_common_freqs) f)) as common
    from indexes i
    join pg_attribute a on a.attrelid = i.oid and a.attnum > 0
    left join pg_stats s on s.schemaname = current_schema()
      and s.tablename = case i.indkey[a.attnum - 1] when 0 then i.index_name else i.table_name end
      and s.attname = a.attname
    group by i.oid
  ),
  estimates as (
    select
      i.oid, i.bytes,
      -- An entry's head is 8 bytes, its line pointer 4; what is shared takes 6 bytes and a bit.
      -- A page holds 8152 bytes; the first one and those above the leaves are a twentieth at most.
      (8192 * (2 + 1.05 * i.reltuples / (8152 * i.fill) * (
        case when i.shares then coalesce(e.common, 0) else 0 end * 7
        + (1 - case when i.shares then coalesce(e.common, 0) else 0 end)
          * (12 + 8 * ceil((e.width + case when e.nullable then 8 else 0 end) / 8.0))
      )))::bigint as expected_bytes
    from indexes i
    join entries e on e.oid = i.oid and e.known
  )
  select
    oid::regclass, bytes, expected_bytes,
    bytes > 2 * expected_bytes and bytes - expected_bytes >= 1024 * 1024
  from estimates
$$;

-- step: maintain_indexes
-- Makes the bloated indexes of this schema anew and says which. Within a statement that cannot be
-- done beside writers: those of a table wait while an index of it is made. `twi-data maintain`
-- does not keep them waiting.
create function maintain_indexes() returns setof text
language plpgsql
set lock_timeout = '5s'
as $$
declare
  name text;
begin
  for name in select b.index from index_bloat() b where b.bloated order by b.bytes desc loop
    execute 'reindex index ' || name;
    return next name;
  end loop;
end
$$;

-- step: get_error_statistics
-- How often which command failed how, of how many people, between two times (UTC).
create function get_error_statistics(
  start_date timestamp default (now() at time zone 'UTC') - interval '30 days',
  end_date timestamp default (now() at time zone 'UTC')
)
returns table (
  error_type text, command_name text, error_count bigint, affected_users bigint,
  first_occurrence timestamp, last_occurrence timestamp
)
language sql stable
as $$
  select
    e.error_type, e.command_name, count(*), count(distinct e.user_id), min(e.timestamp),
    max(e.timestamp)
  from error_telemetry e
  where e.timestamp between start_date and end_date
  group by e.error_type, e.command_name
  order by count(*) desc, e.error_type, e.command_name
$$;

-- step: get_most_common_errors
-- The errors that came most often between two times (UTC).
create function get_most_common_errors(
  limit_count integer default 10,
  start_date timestamp default (now() at time zone 'UTC') - interval '30 days',
  end_date timestamp default (now() at time zone 'UTC')
)
returns table (
  error_type text, error_message text, error_count bigint, affected_users bigint,
  first_occurrence timestamp, last_occurrence timestamp
)
language sql stable
as $$
  select
    e.error_type, e.error_message, count(*), count(distinct e.user_id), min(e.timestamp),
    max(e.timestamp)
  from error_telemetry e
  where e.timestamp between start_date and end_date
  group by e.error_type, e.error_message
  order by count(*) desc, e.error_type, e.error_message
  limit limit_count
$$;

-- What `twi-data optimize additional` makes beyond base.sql. README.md says how steps are written.

-- step: idx_messages_created_at_range
-- recent: 30 days
-- The last weeks of all channels: small enough to stay in memory.
create index idx_messages_created_at_range on messages (created_at) where created_at >= :cutoff;

-- step: idx_active_messages
-- recent: 30 days
-- What is there of the last weeks of a channel.
create index idx_active_messages on messages (channel_id, created_at)
where not deleted and created_at >= :cutoff;

-- step: idx_threads_parent_archived
-- The threads of a channel, archived or not.
create index idx_threads_parent_archived on threads (parent_id, archived);

-- step: idx_active_threads
-- The threads of a channel that are there and not archived.
create index idx_active_threads on threads (guild_id, parent_id) where not archived and not deleted;

-- step: idx_role_membership_by_server
create index idx_role_membership_by_server on role_membership (user_id) include (role_id);

-- step: idx_reactions_recent
-- recent: 7 days
-- The last days' reactions to a message.
create index idx_reactions_recent on reactions (message_id, date) where date >= :cutoff;

-- step: idx_updates_date
-- Changes by time.
create index idx_updates_date on updates (date desc);

-- step: idx_updates_table_action
-- Changes of a kind of a table.
create index idx_updates_table_action on updates (updated_table, action);

-- step: idx_join_leave_server_date
create index idx_join_leave_server_date on join_leave (server_id, date desc)
  include (join_or_leave);

-- step: get_last_message_date
-- When (UTC) the last message of a channel was written; NULL without any.
create function get_last_message_date(channel_id_param bigint) returns timestamp
language sql stable
as $$
  select max(m.created_at) from messages m where m.channel_id = channel_id_param
$$;

-- step: user_channel_activity
-- What each person wrote in each channel in the last 30 days.
create materialized view user_channel_activity as
select
  user_id,
  channel_id,
  count(*) as message_count,
  max(created_at) as last_message,
  now() as as_of
from messages
where created_at > (now() at time zone 'UTC') - interval '30 days'
  and not is_bot
  and user_id is not null
group by user_id, channel_id
with no data;

-- Those of a user begin the key.
create unique index user_channel_activity_key on user_channel_activity (user_id, channel_id);

create index user_channel_activity_channel_id on user_channel_activity (channel_id);

-- step: weekly_message_stats
-- What people wrote in each channel in each week (from Monday, UTC) of the last 90 days, under the
-- channel's last name of that week.
create materialized view weekly_message_stats as
select
  count(*) as total,
  channel_id,
  (array_agg(channel_name order by created_at desc, message_id desc))[1] as channel_name,
  server_id,
  date_trunc('week', created_at) as week,
  now() as as_of
from messages
where created_at > (now() at time zone 'UTC') - interval '90 days'
  and not is_bot
group by server_id, channel_id, date_trunc('week', created_at)
with no data;

-- Those of a server begin the key.
create unique index weekly_message_stats_key on weekly_message_stats (server_id, channel_id, week);

create index weekly_message_stats_channel_id on weekly_message_stats (channel_id);

create index weekly_message_stats_week on weekly_message_stats (week);

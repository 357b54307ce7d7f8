-- What was written, and who came and went. Columns of views may be NULL, for all that the database knows.
--
-- What is counted from `messages` reads the rows of one channel, user
-- or server since a time, by an index that begins with these. What hangs on them is looked for message by message:
-- joined, it would count a message as often as it has files times embeds, and its tables might be read whole.

-- part: contents
-- Columns of messages `m`: which of them have what.
  count(*) filter (
    where (select a.id from attachments a where a.message_id = m.message_id limit 1) is not null
  ) as messages_with_attachments,
  count(*) filter (
    where (select e.id from embeds e where e.message_id = m.message_id limit 1) is not null
  ) as messages_with_embeds,
  avg(length(m.content))::double precision as avg_message_length

-- name: GetChannelMessageCount
select count(*) as total
from messages m
where m.channel_id = :channel_id and m.created_at > :since;

-- name: GetChannelStats
select
  count(*) as total_messages,
  count(distinct m.user_id) as unique_users,
  :part.contents
from messages m
where m.channel_id = :channel_id and m.created_at > :since;

-- name: ListChannelTopUsers
select m.user_id, count(*) as message_count
from messages m
where m.channel_id = :channel_id and m.created_at > :since
group by m.user_id
order by message_count desc, m.user_id
limit :limit;

-- name: GetServerStats
select
  count(*) as total_messages,
  count(distinct m.user_id) as active_users,
  count(distinct m.channel_id) as active_channels
from messages m
where m.server_id = :server_id and m.created_at > :since;

-- name: GetServerMemberFlow
select
  count(*) filter (where j.join_or_leave = 'join') as new_joins,
  count(*) filter (where j.join_or_leave = 'leave') as leaves
from join_leave j
where j.server_id = :server_id and j.date > :since;

-- name: GetUserStats
select
  count(*) as total_messages,
  count(distinct m.channel_id) as active_channels,
  :part.contents
from messages m
where m.user_id = :user_id and m.server_id = :server_id and m.created_at > :since;

-- name: ListUserTopChannels
select m.channel_id, count(*) as message_count
from messages m
where m.user_id = :user_id and m.server_id = :server_id and m.created_at > :since
group by m.channel_id
order by message_count desc, m.channel_id
limit :limit;

-- name: GetRoleStats
select
  count(*) as total_messages,
  count(distinct m.user_id) as active_members,
  count(distinct m.channel_id) as active_channels,
  avg(length(m.content))::double precision as avg_message_length
from messages m
where m.user_id = any(:user_ids::bigint[]) and m.server_id = :server_id and m.created_at > :since;

-- name: ListRoleTopUsers
select m.user_id, count(*) as message_count
from messages m
where m.user_id = any(:user_ids::bigint[]) and m.server_id = :server_id and m.created_at > :since
group by m.user_id
order by message_count desc, m.user_id
limit :limit;

-- name: GetCategoryStats
select
  count(*) as total_messages,
  count(distinct m.user_id) as unique_users,
  count(distinct m.channel_id) as active_channels,
  :part.contents
from messages m
where m.channel_id = any(:channel_ids::bigint[]) and m.created_at > :since;

-- name: ListCategoryTopChannels
select m.channel_id, count(*) as message_count
from messages m
where m.channel_id = any(:channel_ids::bigint[]) and m.created_at > :since
group by m.channel_id
order by message_count desc, m.channel_id
limit :limit;

-- name: GetThreadStats
select
  count(*) as total_messages,
  count(distinct m.user_id) as unique_users,
  :part.contents
from messages m
where m.channel_id = :thread_id and m.created_at > :since;

-- name: ListThreadTopUsers
select m.user_id, count(*) as message_count
from messages m
where m.channel_id = :thread_id and m.created_at > :since
group by m.user_id
order by message_count desc, m.user_id
limit :limit;

-- name: ListDailyActivity
-- page: d.category, d.channel_name, d.sort_parent, d.place, d.rank, d.channel_id
-- The keys of a page have one direction, so the busiest thread is the one of the lowest rank.
-- scan: threads: hundreds of channels and threads have messages of the day, and all threads are a few pages
select
  d.category, d.channel_name, d.thread_name, d.message_count, d.channel_type, d.parent_channel_name,
  d.sort_parent, d.channel_id, d.place, d.rank
from (
  select
    coalesce(
      (select g.name from categories g where g.id = coalesce(p.category_id, c.category_id)), 'Uncategorized'
    ) as category,
    coalesce(p.name, c.name, n.channel_name, '') as channel_name,
    t.name as thread_name,
    n.message_count,
    case when t.id is null then 'channel' else 'thread' end as channel_type,
    p.name as parent_channel_name,
    coalesce(t.parent_id, n.channel_id) as sort_parent,
    n.channel_id,
    case when t.id is null then 0 else 1 end as place,
    -n.message_count as rank
  from (
    select
      channel_id,
      count(*) as message_count,
      (array_agg(channel_name order by created_at desc, message_id desc))[1] as channel_name
    from messages
    where server_id = :server_id
      and created_at > coalesce(:since::timestamp, now() at time zone 'UTC' - interval '1 day')
      and not is_bot
      and not deleted
    group by channel_id
  ) n
  left join threads t on t.id = n.channel_id
  left join channels c on c.id = n.channel_id
  left join channels p on p.id = t.parent_id
) d
where :page.after
order by d.category, d.channel_name, d.sort_parent, d.place, d.rank, d.channel_id
limit :page.size;

-- name: GetDailyMemberFlow
select
  count(*) filter (where j.join_or_leave = 'join') as join,
  count(*) filter (where j.join_or_leave = 'leave') as leave
from join_leave j
where j.server_id = :server_id and j.date >= :since;

-- name: ListUserChannelActivity
-- page: v.user_id, v.channel_id
select
  coalesce(v.user_id, 0) as user_id,
  coalesce(v.channel_id, 0) as channel_id,
  coalesce(v.message_count, 0) as message_count,
  v.last_message,
  v.as_of,
  v.user_id as key_1, v.channel_id as key_2
from user_channel_activity v
where v.user_id between coalesce(:user_id::bigint, 0) and coalesce(:user_id, 9223372036854775807)
  and v.user_id is not null
  and v.channel_id is not null
  and :page.after
order by v.user_id, v.channel_id
limit :page.size;

-- name: ListWeeklyMessageStats
-- page: v.server_id, v.channel_id, v.week
select
  coalesce(v.total, 0) as total,
  coalesce(v.channel_id, 0) as channel_id,
  v.channel_name,
  coalesce(v.server_id, 0) as server_id,
  v.week,
  v.as_of,
  v.server_id as key_1, v.channel_id as key_2
from weekly_message_stats v
where v.server_id between coalesce(:server_id::bigint, 0) and coalesce(:server_id, 9223372036854775807)
  and v.server_id is not null
  and v.channel_id is not null
  and v.week is not null
  and :page.after
order by v.server_id, v.channel_id, v.week
limit :page.size;

-- name: ListDailyMessageStats
-- page: d.rank, d.server_id, d.channel_id
-- The view has a row for each channel that was written in that day, and is read whole: it has no order of
-- its own. The keys of a page have one direction, so the busiest channel is the one of the lowest rank.
select
  coalesce(d.total, 0) as total,
  coalesce(d.channel_id, 0) as channel_id,
  d.channel_name,
  coalesce(d.server_id, 0) as server_id,
  d.as_of,
  d.rank, d.server_id as key_2, d.channel_id as key_3
from (
  select
    v.total, v.channel_id, v.channel_name, v.server_id, v.as_of, coalesce(-v.total, 0) as rank
  from daily_message_stats v
  where v.server_id between coalesce(:server_id::bigint, 0) and coalesce(:server_id, 9223372036854775807)
    and v.server_id is not null
    and v.channel_id is not null
) d
where :page.after
order by d.rank, d.server_id, d.channel_id
limit :page.size;

-- name: ListDailyMemberStats
-- page: v.server_id
select
  coalesce(v.joins, 0) as joins,
  coalesce(v.leaves, 0) as leaves,
  coalesce(v.server_id, 0) as server_id,
  v.as_of,
  v.server_id as key_1
from daily_member_stats v
where v.server_id between coalesce(:server_id::bigint, 0) and coalesce(:server_id, 9223372036854775807)
  and v.server_id is not null
  and :page.after
order by v.server_id
limit :page.size;

-- name: ListUserActivityStats
-- page: v.user_id
select
  coalesce(v.user_id, 0) as user_id,
  coalesce(v.message_count, 0) as message_count,
  v.first_message,
  v.last_message,
  coalesce(v.active_channels, 0) as active_channels,
  v.as_of,
  v.user_id as key_1
from user_activity_stats v
where v.user_id between coalesce(:user_id::bigint, 0) and coalesce(:user_id, 9223372036854775807)
  and v.user_id is not null
  and :page.after
order by v.user_id
limit :page.size;

-- name: ListChannelHourlyStats
-- page: v.channel_id, v.hour
select
  coalesce(v.channel_id, 0) as channel_id,
  coalesce(v.hour, 0) as hour,
  coalesce(v.message_count, 0) as message_count,
  v.as_of,
  v.channel_id as key_1, v.hour as key_2
from channel_hourly_stats v
where v.channel_id between coalesce(:channel_id::bigint, 0) and coalesce(:channel_id, 9223372036854775807)
  and v.channel_id is not null
  and v.hour is not null
  and :page.after
order by v.channel_id, v.hour
limit :page.size;

-- name: GetLastMessageDate
select max(m.created_at) as date
from messages m
where m.channel_id = :channel_id;

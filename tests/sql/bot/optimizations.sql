-- What the bot adds at each start and its operator by hand, as far as it can run: keys, foreign keys
-- that nobody has validated, indexes, views and functions.

alter table attachments add constraint attachments_pk primary key (id);
alter table quotes add constraint quotes_pk primary key (serial_id);
alter table password_link add constraint password_link_pk primary key (serial_id);
alter table invisible_text_twi add constraint invisible_text_twi_pk primary key (serial_id);
alter table foliana_interlude add constraint foliana_interlude_pk primary key (serial_id);
alter table banned_words add constraint banned_words_pk primary key (serial_id);
alter table attachments add constraint attachments_messages_fk
  foreign key (message_id) references messages (message_id) not valid;
alter table mentions add constraint mentions_messages_fk
  foreign key (message_id) references messages (message_id) not valid;

create index idx_messages_active on messages (channel_id, created_at) where deleted = false;
create index idx_messages_channel_created on messages (channel_id, created_at);
create index idx_messages_channel_created_at on messages (channel_id, created_at desc);
create index idx_messages_channel_id on messages (channel_id);
create index idx_messages_created_at on messages (created_at);
create index idx_messages_is_bot on messages (is_bot);
create index idx_messages_server_created on messages (server_id, created_at);
create index idx_messages_server_id on messages (server_id);
create index idx_messages_user_created on messages (user_id, created_at);
create index idx_messages_user_created_at on messages (user_id, created_at desc);
create index idx_messages_user_id on messages (user_id);
create index idx_attachments_message_id on attachments (message_id);
create index idx_reactions_date on reactions (date);
create index idx_reactions_message_emoji on reactions (message_id, emoji_id);
create index idx_reactions_message_id on reactions (message_id);
create index idx_reactions_message_unicode on reactions (message_id, unicode_emoji);
create index idx_reactions_user_id on reactions (user_id);
create index idx_join_leave_date on join_leave (date);
create index idx_join_leave_join_or_leave on join_leave (join_or_leave);
create index idx_join_leave_server_date on join_leave (server_id, date desc);
create index idx_join_leave_server_id on join_leave (server_id);
create index idx_updates_date on updates (date desc);
create index idx_updates_table_action on updates (updated_table, action);
create index idx_active_threads on threads (guild_id, parent_id)
where archived = false and deleted = false;
create index idx_threads_active on threads (guild_id, parent_id) where deleted = false;
create index idx_threads_parent_archived on threads (parent_id, archived);
create index idx_role_membership_by_server on role_membership (user_id) include (role_id);
create index idx_role_membership_role on role_membership (role_id);
create index idx_poll_option_text_search on poll_option using gin (tokens);
create index idx_quotes_text_search on quotes using gin (tokens);
create index idx_creator_links_user_id on creator_links (user_id);
create index idx_gallery_migration_channel_id on gallery_migration (channel_id);
create index idx_gallery_migration_content_type on gallery_migration (content_type);
create index idx_gallery_migration_created_at on gallery_migration (created_at);
create index idx_gallery_migration_extracted_at on gallery_migration (extracted_at);
create index idx_gallery_migration_message_id on gallery_migration (message_id);
create index idx_gallery_migration_migrated on gallery_migration (migrated);
create index idx_gallery_migration_needs_review on gallery_migration (needs_manual_review, reviewed);
create index idx_gallery_migration_target_forum on gallery_migration (target_forum);
create index error_telemetry_command_name_idx on error_telemetry (command_name);
create index error_telemetry_error_type_idx on error_telemetry (error_type);
create index error_telemetry_timestamp_idx on error_telemetry (timestamp);
create index error_telemetry_user_id_idx on error_telemetry (user_id);

alter table error_telemetry add resolved boolean not null default false, add resolution_notes text;
alter table reactions
  set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 2);

create materialized view user_activity_stats as
select user_id, count(*) as message_count, min(created_at) as first_message,
  max(created_at) as last_message, count(distinct channel_id) as active_channels
from messages where created_at > now() - interval '30 days' and not is_bot group by user_id;
create materialized view channel_hourly_stats as
select channel_id, extract(hour from created_at) as hour, count(*) as message_count
from messages where created_at > now() - interval '30 days' group by 1, 2;
create materialized view daily_message_stats as
select count(*) as total, channel_id, channel_name, server_id
from messages where created_at > now() - interval '1 day' and not is_bot group by 2, 3, 4;
create materialized view daily_member_stats as
select count(*) filter (where join_or_leave = 'join') as joins,
  count(*) filter (where join_or_leave = 'leave') as leaves, server_id
from join_leave where date > now() - interval '1 day' group by server_id;
create materialized view user_channel_activity as
select user_id, channel_id, count(*) as message_count, max(created_at) as last_message
from messages where created_at > now() - interval '30 days' and not is_bot group by 1, 2;
create index user_channel_activity_user on user_channel_activity (user_id);
create materialized view weekly_message_stats as
select count(*) as total, channel_id, channel_name, server_id, date_trunc('week', created_at) as week
from messages where created_at > now() - interval '90 days' and not is_bot group by 2, 3, 4, 5;

create function refresh_materialized_views() returns void language plpgsql as $$
begin refresh materialized view daily_message_stats; end $$;
create function maintain_indexes() returns void language plpgsql as $$
begin reindex table messages; end $$;
create function get_last_message_date(channel_id_param bigint) returns timestamp language sql as
'select max(created_at) from messages where channel_id = channel_id_param';
create function get_error_statistics(start_date timestamp default now() - interval '30 days',
  end_date timestamp default now())
returns table (error_type varchar(255), errors bigint) language sql as
'select error_type, count(*) from error_telemetry group by error_type';
create function get_most_common_errors(limit_count integer default 10,
  start_date timestamp default now() - interval '30 days', end_date timestamp default now())
returns table (error_type varchar, errors bigint) language sql as
'select error_type, count(*) from error_telemetry group by error_type limit limit_count';

-- What people do: reactions, comings and goings, voice, commands; and what changed of a server.
--
-- A row is written and, but for reactions and the end of a command, left as it is.

-- up
-- Either `emoji_id` or `unicode_emoji` is set. One that is taken back is kept and marked `removed`.
create table reactions (
  id bigserial constraint reactions_pkey primary key,
  message_id bigint not null,
  user_id bigint not null,
  unicode_emoji text,
  emoji_id bigint,
  emoji_name text,
  animated boolean,
  is_custom_emoji boolean,
  url text,
  date timestamp not null,
  removed boolean not null default false
);

-- UpsertReaction, MarkReactionRemoved of a server's own emoji; ListReactedMessagesNotStored.
create unique index reactions_message_id_user_id_emoji_id_uindex
  on reactions (message_id, user_id, emoji_id);

-- UpsertReaction, MarkReactionRemoved of a Unicode emoji.
create unique index reactions_message_id_user_id_unicode_emoji_uindex
  on reactions (message_id, user_id, unicode_emoji);

-- `date` is when it happened. `created_at` is when the account was made, and in rows of the bot
-- since 2025 `date` once more. `user_name` is the name at that time.
create table join_leave (
  id bigserial constraint join_leave_pkey primary key,
  user_id bigint not null,
  user_name text,
  date timestamp not null,
  join_or_leave text not null
    constraint join_leave_join_or_leave_check check (join_or_leave in ('join', 'leave')),
  server_name text not null,
  server_id bigint not null,
  created_at timestamp
);

-- Each coming and going once: RecordMemberJoin, RecordMemberLeave. ListJoinLeaveUsers, which pages in
-- this order.
create unique index join_leave_user_id_server_id_date_uindex
  on join_leave (user_id, server_id, date, join_or_leave);

-- GetServerMemberFlow, GetDailyMemberFlow.
create index idx_join_leave_server_date on join_leave (server_id, date desc)
  include (join_or_leave);

create table role_changes (
  id bigserial constraint role_changes_pkey primary key,
  user_id bigint not null,
  server_id bigint not null,
  role_id bigint not null,
  action text not null
    constraint role_changes_action_check check (action in ('added', 'removed')),
  timestamp timestamp not null default (now() at time zone 'UTC')
);

-- Each change once: RecordRoleChange.
create unique index role_changes_user_id_role_id_timestamp_uindex
  on role_changes (user_id, role_id, timestamp, server_id, action);

-- A move is two rows of one time: `left`, then `joined`.
create table voice_activity (
  id bigserial constraint voice_activity_pkey primary key,
  user_id bigint not null,
  guild_id bigint not null,
  channel_id bigint not null
    constraint voice_activity_channels_id_fk references channels (id),
  action text not null
    constraint voice_activity_action_check check (action in ('joined', 'left')),
  timestamp timestamp not null default (now() at time zone 'UTC')
);

-- `command_name` is NULL for buttons, menus and forms; the rest of `end_date` is there when it ended.
create table command_history (
  serial bigserial constraint command_history_pkey primary key,
  command_name text,
  args jsonb,
  start_date timestamp not null,
  end_date timestamp,
  run_time interval,
  user_id bigint not null constraint command_history_user_id_fkey references users (user_id),
  channel_id bigint constraint command_history_channel_id_fkey references channels (id),
  guild_id bigint constraint command_history_guild_id_fkey references servers (server_id),
  slash_command boolean not null,
  started_successfully boolean,
  finished_successfully boolean
);

-- Who keeps the books of other tables: what was changed from what to what.
create table updates (
  serial_id bigserial constraint updates_pk primary key,
  updated_table text,
  action text,
  before text,
  after text,
  date timestamp,
  primary_key text
);

-- down
drop table updates, command_history, voice_activity, role_changes, join_leave, reactions;

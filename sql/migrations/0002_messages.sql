-- Messages with what hangs on them, and the servers and users they refer to.
--
-- A `timestamp` is UTC. Sequences that are drawn from on every attempt to insert, also when the row
-- exists, are bigint: an integer would be used up.

-- up
create table servers (
  serial_id bigserial,
  server_id bigint constraint servers_pk primary key,
  server_name text,
  creation_date timestamp
);

create table users (
  serial_id bigserial,
  user_id bigint constraint users_pk primary key,
  created_at timestamp not null default '1970-01-01 00:00:00',
  bot boolean,
  username text not null
);

create table messages (
  message_id bigint constraint messages_pk primary key,
  created_at timestamp not null,
  content text,
  user_name text,
  server_name text not null,
  server_id bigint not null
    constraint messages_servers_server_id_fk references servers (server_id),
  channel_id bigint not null,
  channel_name text,
  user_id bigint constraint messages_users_user_id_fk references users (user_id),
  user_nick text,
  jump_url text not null,
  is_bot boolean not null,
  deleted boolean not null default false,
  reference bigint
)
-- Vacuumed early: edits and soft deletes leave dead rows all over a large table.
with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 2);

-- GetLastMessageTime, ListMessageIds, StreamMessages of a channel, which pages in this order. With the
-- user, all that ListChannelTopUsers counts: without, the index of servers would be read for it, whole.
create index idx_messages_channel_created on messages (channel_id, created_at, message_id, user_id);

-- StreamMessages of a user, which pages in this order.
create index idx_messages_user_created on messages (user_id, created_at, message_id);

-- GetServerStats, which it has all columns for; ListDailyActivity.
create index idx_messages_server_created on messages (server_id, created_at, user_id, channel_id);

create table attachments (
  id bigint constraint attachments_pk primary key,
  filename text,
  url text,
  size bigint,
  height integer,
  width integer,
  is_spoiler boolean,
  message_id bigint not null constraint attachments_messages_fk references messages (message_id)
);

-- The attachments of a message.
create index idx_attachments_message_id on attachments (message_id);

create table embeds (
  id bigserial constraint embeds_pkey primary key,
  message_id bigint not null constraint embeds_messages_fk references messages (message_id),
  title text,
  description text,
  url text,
  timestamp timestamp,
  color integer,
  footer_text text,
  footer_icon_url text,
  image_url text,
  image_proxy_url text,
  image_height integer,
  image_width integer,
  thumbnail_url text,
  thumbnail_proxy_url text,
  thumbnail_height integer,
  thumbnail_width integer,
  video_url text,
  video_proxy_url text,
  video_height integer,
  video_width integer,
  provider_name text,
  provider_url text,
  author_name text,
  author_url text,
  author_icon_url text,
  created_at timestamp not null default (now() at time zone 'UTC')
);

-- The embeds of a message.
create index embeds_message_id_index on embeds (message_id);

create table embed_fields (
  id bigserial constraint embed_fields_pkey primary key,
  embed_id bigint not null
    constraint embed_fields_embed_id_fkey references embeds (id) on delete cascade,
  name text not null,
  value text not null,
  inline boolean not null default false,
  field_order integer not null default 0
);

-- The fields of an embed in their order, each place once: GetMessage, StreamMessages,
-- BatchCreateEmbedFields.
create unique index embed_fields_embed_id_field_order_uindex on embed_fields (embed_id, field_order);

-- Either a user or a role is mentioned.
create table mentions (
  serial_id bigserial constraint mentions_pk primary key,
  message_id bigint not null constraint mentions_messages_fk references messages (message_id),
  user_mention bigint,
  role_mention bigint
);

-- The users that a message mentions, each once: GetMessage, StreamMessages, BatchCreateUserMentions.
create unique index mentions_message_id_user_mention_uindex on mentions (message_id, user_mention)
where user_mention is not null;

-- The roles that a message mentions, each once: GetMessage, StreamMessages, BatchCreateRoleMentions.
create unique index mentions_message_id_role_mention_uindex on mentions (message_id, role_mention)
where role_mention is not null;

-- The text of messages before and after each edit; `id` is the message's.
create table message_edit (
  serial_id bigserial constraint message_edit_pk primary key,
  id bigint not null,
  old_content text,
  new_content text,
  edit_timestamp timestamp not null
);

-- down
drop table message_edit, mentions, embed_fields, embeds, attachments, messages, users, servers;

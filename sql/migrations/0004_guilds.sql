-- What a server is made of: channels, threads, roles, emotes, and who belongs where.
--
-- Things that are gone are kept and marked `deleted`. The ids are those of Discord.

-- up
create table channels (
  id bigint constraint channels_pk primary key,
  name text,
  category_id bigint,
  created_at timestamp,
  guild_id bigint,
  position integer,
  topic text,
  is_nsfw boolean,
  deleted boolean not null default false,
  allow_pins boolean not null default false
);

-- ListPinChannels, which pages in this order.
create index channels_allow_pins_index on channels (id) where allow_pins;

create table categories (
  id bigint constraint categories_pk primary key,
  name text,
  created_at timestamp,
  guild_id bigint,
  position integer,
  is_nsfw boolean
);

create table threads (
  id bigint constraint threads_pk primary key,
  guild_id bigint,
  parent_id bigint,
  owner_id bigint,
  slowmode_delay integer,
  archived boolean,
  locked boolean,
  archiver_id bigint,
  auto_archive_duration integer,
  is_private boolean,
  name text,
  deleted boolean not null default false
);

create table thread_membership (
  serial_id bigserial constraint thread_membership_pk primary key,
  user_id bigint not null,
  thread_id bigint not null
);

-- AddThreadMember adds a member once, RemoveThreadMember finds it.
create unique index thread_membership_user_id_thread_id_uindex
  on thread_membership (user_id, thread_id);

-- `alias` and `category` order the roles that members may take themselves.
create table roles (
  id bigint constraint roles_pk primary key,
  name text,
  color text,
  permissions bigint,
  created_at timestamp,
  hoisted boolean,
  managed boolean,
  position integer,
  guild_id bigint constraint roles_servers_server_id_fk references servers (server_id),
  deleted boolean not null default false,
  self_assignable boolean not null default false,
  weight integer not null default 0,
  alias text,
  category text default 'Uncategorized',
  required_roles bigint[],
  auto_replace boolean not null default false
);

-- EnableSelfAssignableRole keeps aliases apart, ListSelfAssignableRoles reads those of a server.
create unique index roles_guild_id_alias_uindex on roles (guild_id, alias);

create table role_membership (
  user_id bigint not null
    constraint role_membership_users_user_id_fk references users (user_id),
  role_id bigint not null constraint role_membership_roles_id_fk references roles (id),
  serial_id bigserial,
  constraint role_membership_pk primary key (user_id, role_id)
);

create table server_membership (
  serial_id bigserial,
  user_id bigint not null
    constraint server_membership_users_user_id_fk references users (user_id),
  server_id bigint not null
    constraint server_membership_servers_server_id_fk references servers (server_id),
  constraint server_membership_pk primary key (user_id, server_id)
);

create table emotes (
  serial_id bigserial,
  guild_id bigint constraint emotes_servers_server_id_fk references servers (server_id),
  emote_id bigint constraint emotes_pk primary key,
  name text,
  user_id bigint,
  created_at timestamp,
  animated boolean,
  available boolean,
  managed boolean,
  require_colons boolean,
  deleted boolean not null default false
);

-- down
drop table emotes, server_membership, role_membership, roles, thread_membership, threads, categories,
  channels;

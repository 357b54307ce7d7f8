-- What no operation reads or writes any more. It is kept for what it holds.
--
-- Its indexes are keys, which say what the data are: a word is banned once.

-- up
create table foliana_interlude (
  serial_id bigserial constraint foliana_interlude_pk primary key,
  author text,
  author_id bigint,
  content text,
  clean_content text,
  date timestamptz,
  message_id bigint
);

create table patreon_twi (
  serial_id bigserial constraint patreon_twi_pk primary key,
  post_id bigint,
  title text,
  content text,
  comment_count integer,
  like_count integer,
  url text,
  min_cents_pledged_to_view integer,
  post_type text,
  published_at timestamptz,
  image text,
  password text,
  body jsonb
);

create unique index patreon_twi_post_id_uindex on patreon_twi (post_id);

create unique index patreon_twi_url_uindex on patreon_twi (url);

create table protected_is_public (
  serial_id bigserial constraint protected_is_public_pk primary key,
  url text,
  title text
);

create table wandering_inn (
  serial_id bigserial constraint wandering_inn_pk primary key,
  title text,
  content_post_clean text,
  content_post text,
  content_all text,
  date timestamptz,
  link text,
  word_count integer,
  table_of_content_link text,
  volume smallint,
  invisible_text text,
  id text
);

create table webhook_pins_twi (
  serial_id bigserial constraint webhook_pins_twi_pk primary key,
  message_id bigint,
  webhook_id bigint,
  posted_date timestamptz
);

create table twi_reddit (
  serial_index bigserial,
  time_added timestamp not null,
  discord_username text,
  discord_id bigint constraint twi_reddit_pk primary key,
  reddit_username text not null,
  currant_patreon boolean not null,
  subreddit text not null
);

create unique index twi_reddit_reddit_username_uindex on twi_reddit (reddit_username);

create table infractions (
  id bigserial constraint infractions_pk primary key,
  user_id bigint constraint infractions_users_user_id_fk references users (user_id),
  server_id bigint,
  date timestamp,
  reason text,
  severity text
);

create table banned_words (
  serial_id bigserial constraint banned_words_pk primary key,
  word text,
  patreon_allowed boolean,
  server bigint,
  comment text
);

create unique index banned_words_word_uindex on banned_words (word);

create table button_action_history (
  serial bigserial,
  user_id bigint not null,
  view_id bigint not null,
  guild_id bigint,
  date timestamp,
  button_id integer,
  constraint button_action_history_pk primary key (user_id, view_id)
);

create table innktober_quests (
  serial bigserial constraint innktober_quests_pk primary key,
  quest_name text,
  nsfw boolean,
  thread_id bigint
);

create table innktober_submission (
  id bigserial constraint innktober_submission_pk primary key,
  user_id bigint,
  date timestamptz,
  message_id bigint,
  quest_id text,
  repost_message_id bigint,
  social_media_consent boolean,
  wiki_booru_consent boolean,
  submission_type text,
  approved boolean,
  approval_date timestamptz,
  approved_by bigint,
  social_media_approved_post_id bigint,
  booru_wiki_approved_post_id bigint,
  channel_id bigint
);

-- The roles that people gained and lost before there was role_changes.
create table role_history (
  serial_id bigserial constraint role_history_pk primary key,
  role_id bigint constraint role_history_roles_id_fk references roles (id),
  user_id bigint constraint role_history_users_user_id_fk references users (user_id),
  gained boolean default true,
  date timestamp
);

-- down
drop table role_history, innktober_submission, innktober_quests, button_action_history, banned_words,
  infractions, twi_reddit, webhook_pins_twi, wandering_inn, protected_is_public, patreon_twi,
  foliana_interlude;

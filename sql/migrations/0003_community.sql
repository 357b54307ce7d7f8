-- What members add and moderators keep: links, portfolios, the gallery's channels and its move into
-- forums, reports, settings.
--
-- Titles are the same whatever their case, so their keys are on lower(title).

-- up
create table links (
  id bigserial constraint links_pk primary key,
  title text not null,
  content text,
  tag text,
  user_who_added text,
  id_user_who_added bigint,
  time_added timestamptz not null default now(),
  embed boolean,
  guild_id bigint,
  -- All digits of the title as one number, so that "Chapter 9" comes before "Chapter 10". Only ASCII
  -- digits make numbers; a title without them comes last.
  title_number numeric not null generated always as (
    coalesce(nullif(regexp_replace(title, '[^0-9]', '', 'g'), '')::numeric, 'infinity')
  ) stored
);

-- One link a title. GetLink, UpdateLink, DeleteLink, CheckLinkExists.
create unique index links_title_key on links (lower(title));

-- ListCategoryLinkTitles, ListTaggedLinkTitles, ListUncategorizedLinkTitles, ListLinksByTag and
-- ListLinkTitlesByTag, which page in this order.
create index links_tag_index on links (lower(tag), title_number, title);

-- ListGuildLinks, which pages in this order.
create index links_guild_id_index on links (guild_id, title);

create table creator_links (
  serial_id bigserial constraint creator_links_pk primary key,
  user_id bigint not null
    constraint creator_links_users_user_id_fk references users (user_id),
  title text not null,
  link text,
  nsfw boolean not null default false,
  last_changed timestamp not null default (now() at time zone 'UTC'),
  weight integer not null default 0,
  feature boolean not null default true
);

-- One link a user and title. ListCreatorLinks, GetCreatorLink, UpdateCreatorLink, DeleteCreatorLink,
-- CheckCreatorLinkExists.
create unique index creator_links_user_id_title_key on creator_links (user_id, lower(title));

-- GetGalleryMementoByChannel, DeleteGalleryMementoByChannel and CheckGalleryMementoExists read the
-- primary key; ListGalleryMementos and ListGuildGalleryMementos page in the order of the other key.
create table gallery_mementos (
  channel_id bigint constraint gallery_mementos_pk primary key,
  channel_name text not null,
  guild_id bigint not null,
  constraint gallery_mementos_guild_id_channel_name_key unique (guild_id, channel_name)
);

-- One row a post of a gallery, found by the post's message. The checks keep out what the operations
-- could not tell: one such row would fail every list that it is in.
create table gallery_migration (
  id bigserial constraint gallery_migration_pkey primary key,
  message_id bigint not null constraint gallery_migration_message_id_key unique,
  channel_id bigint not null,
  channel_name text not null,
  guild_id bigint not null,
  title text,
  images jsonb not null default '[]'
    constraint gallery_migration_images_check check (jsonb_typeof(images) = 'array'),
  creator text,
  tags jsonb not null default '[]'
    constraint gallery_migration_tags_check check (jsonb_typeof(tags) = 'array'),
  jump_url text,
  author_id bigint not null,
  author_name text not null,
  is_bot boolean not null default false,
  created_at timestamp not null,
  extracted_at timestamp not null default (now() at time zone 'UTC'),
  migrated boolean not null default false,
  migrated_at timestamp,
  target_forum text
    constraint gallery_migration_target_forum_check check (target_forum in ('sfw', 'nsfw')),
  content_type text,
  has_attachments boolean not null default false,
  attachment_count integer not null default 0,
  needs_manual_review boolean not null default false,
  reviewed boolean not null default false,
  reviewed_by bigint,
  reviewed_at timestamp,
  raw_embed_data jsonb
    constraint gallery_migration_raw_embed_data_check check (jsonb_typeof(raw_embed_data) = 'object'),
  raw_content text
);

-- ListUnmigratedGalleryEntries, which pages in this order.
create index gallery_migration_unmigrated_index on gallery_migration (created_at, message_id)
where not migrated;

-- ListGalleryEntriesNeedingReview, which pages in this order.
create index gallery_migration_needs_review_index on gallery_migration (created_at, message_id)
where needs_manual_review and not reviewed;

-- A member reports a message once. GetReport, CheckReportExists.
create table reports (
  id bigserial constraint reports_pkey primary key,
  message_id bigint not null,
  user_id bigint not null,
  reason text not null,
  reported_user_id bigint not null,
  channel_id bigint not null,
  anonymous boolean not null default false,
  additional_info text,
  guild_id bigint,
  created_at timestamp not null default (now() at time zone 'UTC'),
  constraint reports_message_id_user_id_key unique (message_id, user_id)
);

-- ListGuildReports, which pages in this order, backwards.
create index reports_guild_id_index on reports (guild_id, created_at, id);

-- ListReportsAgainstUser, which pages in this order, backwards.
create index reports_reported_user_id_index on reports (reported_user_id, created_at, id);

create table server_settings (
  guild_id bigint constraint server_settings_pk primary key,
  admin_role_id bigint,
  created_at timestamp not null default (now() at time zone 'UTC'),
  updated_at timestamp not null default (now() at time zone 'UTC')
);

-- down
drop table server_settings, reports, gallery_migration, gallery_mementos, creator_links, links;

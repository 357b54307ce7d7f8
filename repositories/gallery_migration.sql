-- part: entry
-- The columns of an entry `g`.
  g.id, g.message_id, g.channel_id, g.channel_name, g.guild_id, g.title, g.images, g.creator,
  g.tags, g.jump_url, g.author_id, g.author_name, g.is_bot, g.created_at, g.extracted_at,
  g.migrated, g.migrated_at, g.target_forum, g.content_type, g.has_attachments, g.attachment_count,
  g.needs_manual_review, g.reviewed, g.reviewed_by, g.reviewed_at, g.raw_embed_data, g.raw_content

-- name: CreateGalleryMigrationEntry
insert into gallery_migration as g (
  message_id, channel_id, channel_name, guild_id, title, images, creator, tags, jump_url,
  author_id, author_name, is_bot, created_at, target_forum, content_type, has_attachments,
  attachment_count, needs_manual_review, raw_embed_data, raw_content
)
values (
  :post.message_id, :post.channel_id, :post.channel_name, :post.guild_id, :post.title,
  :post.images, :post.creator, :post.tags, :post.jump_url, :post.author_id, :post.author_name,
  :post.is_bot, coalesce(:post.created_at::timestamptz, now()) at time zone 'UTC',
  :post.target_forum, :post.content_type, :post.has_attachments, :post.attachment_count,
  :post.needs_manual_review, :post.raw_embed_data, :post.raw_content
)
returning :part.entry;

-- name: GetGalleryMigrationEntry
select :part.entry
from gallery_migration g
where g.message_id = :message_id;

-- name: ListUnmigratedGalleryEntries
-- page: g.created_at, g.message_id
select :part.entry
from gallery_migration g
where not g.migrated and :page.after
order by g.created_at, g.message_id
limit :page.size;

-- name: ListGalleryEntriesNeedingReview
select
  coalesce(jsonb_agg(to_jsonb(e) order by e.created_at, e.message_id), '[]') as entries,
  (
    select count(*)
    from gallery_migration g
    where g.needs_manual_review and not g.reviewed
  ) as total_count
from (
  select
    g.id, g.message_id, g.channel_id, g.channel_name, g.guild_id, g.title, g.images, g.creator,
    g.tags, g.jump_url, g.author_id, g.author_name, g.is_bot,
    g.created_at at time zone 'UTC' as created_at,
    g.extracted_at at time zone 'UTC' as extracted_at, g.migrated,
    g.migrated_at at time zone 'UTC' as migrated_at, g.target_forum, g.content_type,
    g.has_attachments, g.attachment_count, g.needs_manual_review, g.reviewed, g.reviewed_by,
    g.reviewed_at at time zone 'UTC' as reviewed_at, g.raw_embed_data, g.raw_content
  from gallery_migration g
  where g.needs_manual_review and not g.reviewed
  order by g.created_at, g.message_id
  limit :limit
) e;

-- name: UpdateGalleryMigrationStatus
update gallery_migration g
set
  migrated = coalesce(:migrated, true),
  migrated_at =
    case
      when coalesce(:migrated, true)
      then coalesce(:migrated_at::timestamptz, now()) at time zone 'UTC'
    end
where message_id = :message_id
returning :part.entry;

-- name: UpdateGalleryReviewStatus
update gallery_migration g
set
  reviewed = coalesce(:reviewed, true),
  reviewed_by = case when coalesce(:reviewed, true) then coalesce(:reviewed_by, g.reviewed_by) end,
  reviewed_at =
    case
      when coalesce(:reviewed, true)
      then coalesce(:reviewed_at::timestamptz, now()) at time zone 'UTC'
    end
where message_id = :message_id
returning :part.entry;

-- name: UpdateGalleryTags
update gallery_migration g
set tags = :tags
where message_id = :message_id
returning :part.entry;

-- name: GetGalleryMigrationStatistics
-- scan: gallery_migration: each entry counts, and there are some thousands
select
  count(*) as total_entries,
  count(*) filter (where g.migrated) as migrated_entries,
  count(*) filter (where not g.migrated) as pending_migration,
  count(*) filter (where g.needs_manual_review and not g.reviewed) as needs_review,
  count(*) filter (where g.is_bot) as bot_posts,
  count(*) filter (where not g.is_bot) as manual_posts,
  coalesce(
    100 * (count(*) filter (where g.migrated))::double precision / nullif(count(*), 0),
    0
  ) as migration_progress
from gallery_migration g;

-- name: DeleteGalleryMigrationEntry
delete from gallery_migration
where message_id = :message_id
returning 1;

-- name: BatchCreateGalleryMigrationEntries
-- In the order of the key: two streams of the same posts would wait for each other otherwise.
with created as (
  insert into gallery_migration (
    message_id, channel_id, channel_name, guild_id, title, images, creator, tags, jump_url,
    author_id, author_name, is_bot, created_at, target_forum, content_type, has_attachments,
    attachment_count, needs_manual_review, raw_embed_data, raw_content
  )
  select
    p.message_id, p.channel_id, p.channel_name, p.guild_id, p.title, p.images, p.creator, p.tags,
    p.jump_url, p.author_id, p.author_name, p.is_bot,
    coalesce(p.created_at, now()) at time zone 'UTC', p.target_forum, p.content_type,
    p.has_attachments, p.attachment_count, p.needs_manual_review, p.raw_embed_data, p.raw_content
  from jsonb_array_elements(:requests) r (request)
  cross join jsonb_to_record(r.request -> 'post') p (
    message_id bigint, channel_id bigint, channel_name text, guild_id bigint, title text,
    images jsonb, creator text, tags jsonb, jump_url text, author_id bigint, author_name text,
    is_bot boolean, created_at timestamptz, target_forum text, content_type text,
    has_attachments boolean, attachment_count integer, needs_manual_review boolean,
    raw_embed_data jsonb, raw_content text
  )
  order by p.message_id
  on conflict (message_id) do nothing
  returning 1
)
select count(*) as created_count, jsonb_array_length(:requests) - count(*) as skipped_count
from created;

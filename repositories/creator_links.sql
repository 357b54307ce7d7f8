-- name: ListCreatorLinkTitles
-- page: c.user_id, c.title
select c.title, c.user_id
from creator_links c
where :page.after
order by c.user_id, c.title
limit :page.size;

-- name: ListCreatorLinks
-- page: c.rank, c.title
-- The keys of a page have one direction, so the heaviest is the one of the lowest rank.
select c.serial_id, c.user_id, c.title, c.link, c.nsfw, c.last_changed, c.weight, c.feature, c.rank
from (
  select serial_id, user_id, title, link, nsfw, last_changed, weight, feature, -weight::bigint as rank
  from creator_links
  where user_id = :user_id
) c
where :page.after
order by c.rank, c.title
limit :page.size;

-- name: GetCreatorLink
select c.serial_id, c.user_id, c.title, c.link, c.nsfw, c.last_changed, c.weight, c.feature
from creator_links c
where c.user_id = :user_id and lower(c.title) = lower(:title);

-- name: CreateCreatorLink
insert into creator_links (user_id, title, link, nsfw, weight, feature)
values (:user_id, :title, :link, :nsfw, :weight, coalesce(:feature, true))
returning serial_id, user_id, title, link, nsfw, last_changed, weight, feature;

-- name: UpdateCreatorLink
update creator_links
set
  link = case when 'link' = any(:update_mask) then :link else link end,
  nsfw = case when 'nsfw' = any(:update_mask) then coalesce(:nsfw, false) else nsfw end,
  weight = case when 'weight' = any(:update_mask) then coalesce(:weight, 0) else weight end,
  feature = case when 'feature' = any(:update_mask) then coalesce(:feature, true) else feature end,
  last_changed = case when :update_mask = '{}' then last_changed else now() at time zone 'UTC' end
where user_id = :user_id and lower(title) = lower(:title)
returning serial_id, user_id, title, link, nsfw, last_changed, weight, feature;

-- name: DeleteCreatorLink
delete from creator_links
where user_id = :user_id and lower(title) = lower(:title)
returning 1;

-- name: CheckCreatorLinkExists
select exists (
  select 1
  from creator_links c
  where c.user_id = :user_id and lower(c.title) = lower(:title)
) as exists;

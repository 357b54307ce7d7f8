-- Titles are matched whatever their case. Their natural order is that of (title_number, title), and a
-- tag's links are found by lower(tag) even where the tag must match exactly: one index gives them in
-- this order.

-- part: link
-- The columns of a link `l`.
  l.id, l.title, l.content, l.tag, l.user_who_added, l.id_user_who_added, l.time_added, l.embed,
  l.guild_id

-- name: ListLinks
-- page: l.title
select :part.link
from links l
where :page.after
order by l.title
limit :page.size;

-- name: ListLinksForAutocomplete
-- page: l.title
select
  l.title,
  l.content,
  l.tag,
  l.user_who_added,
  l.id_user_who_added,
  l.time_added,
  l.embed,
  l.guild_id
from links l
where :page.after
order by l.title
limit :page.size;

-- name: GetLink
select :part.link
from links l
where lower(l.title) = lower(:title);

-- name: ListLinksByTag
-- page: l.title_number, l.title
select
  :part.link,
  l.title_number
from links l
where lower(l.tag) = lower(:tag) and l.tag = :tag and :page.after
order by l.title_number, l.title
limit :page.size;

-- name: ListLinkTitlesByTag
-- page: l.title_number, l.title
select l.title as titles, l.title_number, l.title
from links l
where lower(l.tag) = lower(:tag) and l.tag = :tag and :page.after
order by l.title_number, l.title
limit :page.size;

-- name: ListGuildLinks
-- page: l.title
select :part.link
from links l
where l.guild_id = :guild_id and :page.after
order by l.title
limit :page.size;

-- name: CreateLink
insert into links as l (title, content, tag, user_who_added, id_user_who_added, embed, guild_id)
values (:title, :content, :tag, :user_who_added, :id_user_who_added, :embed, :guild_id)
returning :part.link;

-- name: UpdateLink
update links l
set
  content = case when 'content' = any(:update_mask) then :content else l.content end,
  tag = case when 'tag' = any(:update_mask) then :tag else l.tag end,
  embed = case when 'embed' = any(:update_mask) then :embed else l.embed end
where lower(title) = lower(:title)
returning :part.link;

-- name: DeleteLink
delete from links
where lower(title) = lower(:title)
returning 1;

-- name: CheckLinkExists
select exists (
  select 1
  from links l
  where lower(l.title) = lower(:title)
) as exists;

-- name: ListUncategorizedLinkTitles
-- page: l.title_number, l.title
select l.title as titles, l.title_number, l.title
from links l
where lower(l.tag) is null and :page.after
order by l.title_number, l.title
limit :page.size;

-- name: ListCategoryLinkTitles
-- page: l.title_number, l.title
select l.title as titles, l.title_number, l.title
from links l
where lower(l.tag) = lower(:tag) and :page.after
order by l.title_number, l.title
limit :page.size;

-- name: ListTaggedLinkTitles
-- page: l.title_number, l.title
select l.title as titles, l.title_number, l.title
from links l
where lower(l.tag) = lower(:tag) and :page.after
order by l.title_number, l.title
limit :page.size;

-- name: ListLinkCategories
-- page: c.uncategorized, c.category
select c.category, c.link_count, c.uncategorized
from (
  select
    coalesce(tag, 'Uncategorized') as category,
    count(*) as link_count,
    tag is null as uncategorized
  from links
  group by category, uncategorized
) c
where :page.after
order by c.uncategorized, c.category
limit :page.size;

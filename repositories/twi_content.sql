-- Passwords of chapters and the text that chapters hide. The story has some hundred chapters, and what lists
-- them all reads them all.

-- part: title
-- What a text `t` is found by.
lower(left(t.title, 100)) collate "C"

-- name: ListInvisibleTextTitles
-- page: t.title
select coalesce(t.title, '') as titles, t.title
from (
  select distinct title
  from invisible_text_twi
  where title is not null
) t
where :page.after
order by t.title
limit :page.size;

-- name: ListInvisibleTextChapters
-- page: c.place, c.title
select coalesce(c.title, '') as title, c.count, nullif(c.place, 'infinity') as date, c.place, c.title as name
from (
  select title, count(*) as count, coalesce(date, 'infinity') as place
  from invisible_text_twi
  where title is not null
  group by title, place
) c
where :page.after
order by c.place, c.title
limit :page.size;

-- name: SearchInvisibleText
-- page: t.serial_id
select coalesce(t.title, '') as title, t.content, t.serial_id
from invisible_text_twi t
where :part.title = lower(:chapter) and :page.after
order by t.serial_id
limit :page.size;

-- name: SuggestInvisibleTextTitles
-- What is similar is looked for only when there is less that begins so.
with beginning as (
  select distinct on (:part.title) left(t.title, 100) as title
  from invisible_text_twi t
  where :part.title >= lower(:query) and :part.title < lower(:query) || chr(1114111)
  order by :part.title, t.serial_id
  limit :limit
),
similar_title as (
  select min(left(t.title, 100)) as title, max(word_similarity(:query, t.title)) as similarity
  from invisible_text_twi t
  where t.title %> :query and not starts_with(:part.title, lower(:query))
  group by :part.title
  order by similarity desc, title
  limit :limit - (select count(*) from beginning)
)
select t.title as titles
from (
  select b.title, 2 as similarity
  from beginning b
  union all
  select s.title, s.similarity
  from similar_title s
) t
order by t.similarity desc, :part.title;

-- name: GetCurrentPassword
select coalesce(p.password, '') as password, p.link, p.date
from password_link p
where p.password is not null
order by p.serial_id desc
limit 1;

-- name: CreatePassword
insert into password_link (password, link, user_id, date)
values (:password, :link, :user_id, now());

-- Polls and their options. Whoever adds a poll looks first whether it is there, for an insert that meets one
-- draws a number all the same, and people see the numbers.

-- part: poll
-- The columns of a poll `p`.
  p.id, p.index_serial, p.title, p.api_url, p.poll_url, p.start_date, p.expire_date, p.expired,
  p.total_votes, p.num_options, p.poll_update, p.pinned_poll_id, p.channel_poll_id

-- part: new_poll
-- Begins an insert that goes on with the values of the last three columns.
insert into poll as p (
  id, title, api_url, poll_url, start_date, expire_date, expired, total_votes, num_options
)
select
  :id::bigint, :title, :api_url, :poll_url, :start_date::timestamptz, :expire_date::timestamptz

-- part: save_options
-- Saves `new_option`, each at its last place. An option of another poll cannot be without a poll, and so
-- fails the statement.
saved_options as (
  insert into poll_option as o (option_id, poll_id, option_text, num_votes)
  select distinct on (n.option_id) n.option_id, n.poll_id, n.option_text, n.num_votes
  from new_option n
  order by n.option_id, n.place desc
  on conflict (option_id) do update
  set
    poll_id = case when o.poll_id = excluded.poll_id then o.poll_id end,
    option_text = excluded.option_text,
    num_votes = excluded.num_votes
  where (o.poll_id, o.option_text, o.num_votes)
    is distinct from (excluded.poll_id, excluded.option_text, excluded.num_votes)
)

-- name: ListPollIds
-- page: p.id
select p.id as ids, p.id
from poll p
where :page.after
order by p.id
limit :page.size;

-- name: GetPoll
select :part.poll
from poll p
where p.id = :id;

-- name: CreateExpiredPoll
-- none: ALREADY_EXISTS
:part.new_poll,
  true,
  :total_votes::integer,
  :num_options::integer
where (select k.id from poll k where k.id = :id) is null
returning :part.poll;

-- name: CreateActivePoll
-- none: ALREADY_EXISTS
:part.new_poll,
  false,
  null,
  :num_options::integer
where (select k.id from poll k where k.id = :id) is null
returning :part.poll;

-- name: CreatePollWithOptions
-- none: ALREADY_EXISTS
with created as (
  :part.new_poll,
    :expired::boolean,
    :total_votes::integer,
    jsonb_array_length(:options)
  where (select k.id from poll k where k.id = :id) is null
  returning :part.poll
),
new_option as (
  select o.option_id, c.id as poll_id, o.option_text, o.num_votes, e.place
  from created c
  cross join jsonb_array_elements(:options) with ordinality e (option, place)
  cross join jsonb_populate_record(null::poll_option, e.option) o
),
:part.save_options
select :part.poll
from created p
limit 1;

-- name: CreatePollOption
insert into poll_option (option_id, poll_id, option_text, num_votes)
values (:option_id, :poll_id, :option_text, :num_votes)
returning option_id, poll_id, option_text, num_votes;

-- name: UpsertPollOption
with new_option as (
  select
    :option_id::bigint as option_id,
    :poll_id::bigint as poll_id,
    :option_text as option_text,
    :num_votes::integer as num_votes,
    1 as place
),
:part.save_options
select 1;

-- name: ExpirePoll
with updated as (
  update poll
  set expired = true, total_votes = :total_votes
  where id = :id and (not expired or total_votes is distinct from :total_votes)
)
select 1
from poll
where id = :id;

-- name: ClosePoll
with updated as (
  update poll
  set expired = true, total_votes = :total_votes
  where id = :id and (not expired or total_votes is distinct from :total_votes)
),
new_option as (
  select o.option_id, p.id as poll_id, o.option_text, o.num_votes, e.place
  from poll p
  cross join jsonb_array_elements(:options) with ordinality e (option, place)
  cross join jsonb_populate_record(null::poll_option, e.option) o
  where p.id = :id
),
:part.save_options
select 1
from poll
where id = :id;

-- name: GetPollOption
select o.option_id, o.poll_id, o.option_text, o.num_votes
from poll_option o
where o.option_id = :option_id;

-- name: UpdatePollOptionVotes
with updated as (
  update poll_option
  set num_votes = :num_votes
  where option_id = :option_id and num_votes <> :num_votes
)
select 1
from poll_option
where option_id = :option_id;

-- name: ListPollOptions
-- page: o.rank, o.option_id
-- The keys of a page have one direction, so the option with the most votes is the one of the lowest rank.
select o.option_id, o.poll_id, o.option_text, o.num_votes, o.rank
from (
  select option_id, poll_id, option_text, num_votes, -num_votes::bigint as rank
  from poll_option
  where poll_id = :poll_id
) o
where :page.after
order by o.rank, o.option_id
limit :page.size;

-- name: SearchPollOptions
select
  o.option_id,
  o.option_text,
  o.num_votes,
  p.id as poll_id,
  p.index_serial,
  p.title,
  ts_rank(o.tokens, websearch_to_tsquery('english', :search)) as rank
from poll_option o
join poll p on p.id = o.poll_id
where o.tokens @@ websearch_to_tsquery('english', :search)
order by rank desc, p.index_serial desc, o.option_id
limit :limit;

-- name: SearchPolls
with hit as (
  select
    p.id as poll_id,
    ts_rank(to_tsvector('english', p.title), websearch_to_tsquery('english', :search)) as rank,
    null::bigint as option_id,
    null::jsonb as option
  from poll p
  where to_tsvector('english', p.title) @@ websearch_to_tsquery('english', :search)
  union all
  select
    o.poll_id,
    ts_rank(o.tokens, websearch_to_tsquery('english', :search)),
    o.option_id,
    jsonb_build_object(
      'option_id', o.option_id, 'poll_id', o.poll_id, 'option_text', o.option_text, 'num_votes', o.num_votes
    )
  from poll_option o
  where o.tokens @@ websearch_to_tsquery('english', :search)
),
found as (
  select
    h.poll_id,
    sum(h.rank) as rank,
    coalesce(
      jsonb_agg(h.option order by h.rank desc, h.option_id) filter (where h.option_id is not null), '[]'
    ) as options
  from hit h
  group by h.poll_id
)
select p.id, p.index_serial, p.title, p.start_date, p.expired, f.options, f.rank
from found f
join poll p on p.id = f.poll_id
order by f.rank desc, p.index_serial desc
limit :limit;

-- name: SuggestPolls
-- What is similar is looked for only when there is less that begins so.
with beginning as (
  select p.id, p.index_serial, p.title
  from poll p
  where lower(p.title) collate "C" >= lower(:query)
    and lower(p.title) collate "C" < lower(:query) || chr(1114111)
  order by lower(p.title) collate "C", p.index_serial
  limit :limit
),
similar_title as (
  select p.id, p.index_serial, p.title, word_similarity(:query, p.title) as similarity
  from poll p
  where p.title %> :query and not starts_with(lower(p.title), lower(:query))
  order by similarity desc, p.title, p.index_serial
  limit :limit - (select count(*) from beginning)
)
select s.id, s.index_serial, left(s.title, 100) as title
from (
  select b.id, b.index_serial, b.title, 2 as similarity
  from beginning b
  union all
  select t.id, t.index_serial, t.title, t.similarity
  from similar_title t
) s
order by s.similarity desc, lower(s.title) collate "C", s.index_serial;

-- name: GetPollSummary
select p.title, p.index_serial
from poll p
where p.id = :id;

-- name: GetLatestActivePoll
-- none: OK
select :part.poll
from poll p
where not p.expired and p.expire_date > now()
order by p.index_serial desc
limit 1;

-- name: ListOverduePolls
-- page: p.expire_date, p.index_serial
select :part.poll
from poll p
where not p.expired and p.expire_date is not null and p.expire_date <= now() and :page.after
order by p.expire_date, p.index_serial
limit :page.size;

-- name: ListActivePolls
-- page: p.expire_date, p.index_serial
select :part.poll
from poll p
where not p.expired and p.expire_date is not null and p.expire_date > now() and :page.after
order by p.expire_date, p.index_serial
limit :page.size;

-- name: GetMaxPollIndex
select max(p.index_serial) as index_serial
from poll p;

-- name: GetPollByIndex
select :part.poll
from poll p
where p.index_serial = :index_serial;

-- name: ListPollsByYear
-- page: p.start_date, p.index_serial
select p.id, p.index_serial, p.title, p.start_date, p.expired
from poll p
where p.start_date is not null
  and p.start_date >= make_timestamptz(:year, 1, 1, 0, 0, 0, 'UTC')
  and p.start_date < make_timestamptz(:year + 1, 1, 1, 0, 0, 0, 'UTC')
  and :page.after
order by p.start_date, p.index_serial
limit :page.size;

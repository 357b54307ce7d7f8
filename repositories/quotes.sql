-- Quotes are ordered by (time, serial_id); the place in that order, from 1, is a quote's index.

-- name: GetQuote
select q.serial_id, q.quote, q.author, q.author_id, q.time
from quotes q
where q.serial_id = :serial_id;

-- name: GetQuoteByIndex
select q.serial_id, q.quote, q.author, q.author_id, q.time
from quotes q
order by q.time, q.serial_id
offset :index - 1
limit 1;

-- name: GetRandomQuote
select q.serial_id, q.quote, q.author, q.author_id, q.time, q.index
from (
  select serial_id, quote, author, author_id, time, row_number() over (order by time, serial_id) as index
  from quotes
) q
order by random()
limit 1;

-- name: ListQuotes
-- page: q.time, q.serial_id
select q.serial_id, q.quote, q.author, q.author_id, q.time
from quotes q
where :page.after
order by q.time, q.serial_id
limit :page.size;

-- name: ListQuoteIndex
-- page: q.index
select q.index, q.quote, q.serial_id
from (
  select serial_id, quote, row_number() over (order by time, serial_id) as index
  from quotes
) q
where :page.after
order by q.index
limit :page.size;

-- name: SearchQuotes
-- The index is counted for the matches returned, not for the whole table.
select
  found.serial_id,
  (select count(*) from quotes q where (q.time, q.serial_id) <= (found.time, found.serial_id)) as index,
  found.quote,
  found.rank
from (
  select q.serial_id, q.quote, q.time, ts_rank(q.tokens, websearch_to_tsquery('english', :search)) as rank
  from quotes q
  where q.tokens @@ websearch_to_tsquery('english', :search)
  order by rank desc, q.time, q.serial_id
  limit :limit
) found
order by found.rank desc, found.time, found.serial_id;

-- name: CountQuotes
select count(*) as count
from quotes;

-- name: CreateQuote
with created as (
  insert into quotes (quote, author, author_id)
  values (:quote, :author, :author_id)
  returning serial_id, quote, author, author_id, time
)
select
  c.serial_id,
  c.quote,
  c.author,
  c.author_id,
  c.time,
  1 + (select count(*) from quotes q where (q.time, q.serial_id) < (c.time, c.serial_id)) as index
from created c;

-- name: DeleteQuote
delete from quotes
where serial_id = :serial_id
returning 1;

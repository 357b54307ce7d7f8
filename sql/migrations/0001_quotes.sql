-- What members of the community said. A quote's number, as people know it, is its place by
-- (time, serial_id).

-- up
create table quotes (
  serial_id bigserial constraint quotes_pk primary key,
  quote text not null,
  author text,
  author_id bigint,
  time timestamptz not null default now(),
  tokens tsvector generated always as (to_tsvector('english', quote)) stored
);

-- SearchQuotes: the quotes that have the words.
create index idx_quotes_text_search on quotes using gin (tokens);

-- ListQuotes pages in this order, GetQuoteByIndex counts in it.
create index quotes_time_serial_id_index on quotes (time, serial_id);

-- down
drop table quotes;

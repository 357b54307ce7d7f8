-- Polls among patrons, by the ids of Patreon; people know a poll by its `index_serial`.

-- up
-- Titles that are something like what somebody types.
create extension if not exists pg_trgm;

create table poll (
  id bigint constraint poll_pk primary key,
  index_serial bigserial,
  title text,
  api_url text,
  poll_url text,
  start_date timestamptz,
  expire_date timestamptz,
  expired boolean not null default false,
  total_votes integer,
  num_options integer,
  poll_update boolean,
  pinned_poll_id bigint,
  channel_poll_id bigint
);

-- GetPollByIndex, GetMaxPollIndex.
create unique index poll_index_serial_uindex on poll (index_serial);

-- ListOverduePolls and ListActivePolls, which page in this order; GetLatestActivePoll.
create index poll_open_index on poll (expire_date, index_serial) where not expired;

-- ListPollsByYear, which pages in this order.
create index poll_start_date_index on poll (start_date, index_serial);

-- SearchPolls: the polls whose titles have the words.
create index poll_title_search_index on poll using gin (to_tsvector('english', title));

-- SuggestPolls: the titles that begin so, in their order.
create index poll_title_index on poll ((lower(title) collate "C"), index_serial);

-- SuggestPolls: the titles that are something like it.
create index poll_title_similarity_index on poll using gin (title gin_trgm_ops);

create table poll_option (
  option_id bigint constraint poll_option_pk primary key,
  poll_id bigint not null constraint poll_option_poll_id_fk references poll (id),
  option_text text not null,
  num_votes integer not null default 0,
  tokens tsvector generated always as (to_tsvector('english', option_text)) stored
);

-- ListPollOptions.
create index idx_poll_option_poll_id on poll_option (poll_id);

-- SearchPollOptions: the options that have the words.
create index idx_poll_option_text_search on poll_option using gin (tokens);

-- down
drop table poll_option, poll;

-- What readers of the story ask for: the passwords of chapters and the text hidden in them.

-- up
-- The last row with a password is the one that holds.
create table password_link (
  serial_id bigserial constraint password_link_pk primary key,
  password text,
  link text,
  user_id bigint,
  date timestamptz
);

create table invisible_text_twi (
  serial_id bigserial constraint invisible_text_twi_pk primary key,
  content text,
  chapter_id text,
  title text,
  date timestamptz
);

-- SearchInvisibleText, which pages in this order; SuggestInvisibleTextTitles: the titles that begin so.
create index invisible_text_twi_title_index
  on invisible_text_twi ((lower(left(title, 100)) collate "C"), serial_id);

-- SuggestInvisibleTextTitles: the titles that are something like it.
create index invisible_text_twi_title_similarity_index
  on invisible_text_twi using gin (title gin_trgm_ops);

-- down
drop table invisible_text_twi, password_link;

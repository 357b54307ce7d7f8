-- What the bot keeps with pgvector: descriptions of its tables.

create table schema_embeddings (id serial primary key, table_name text not null unique,
  description text not null, embedding vector(1536), created_at timestamp default now(),
  updated_at timestamp default now());
create index idx_schema_embeddings_vector on schema_embeddings (cosine_distance(embedding, embedding));
create function update_schema_embeddings_timestamp() returns trigger language plpgsql as
$$ begin new.updated_at = now(); return new; end $$;
create trigger schema_embeddings_updated_at before update on schema_embeddings
for each row execute function update_schema_embeddings_timestamp();

insert into schema_embeddings (table_name, description, embedding, created_at)
values ('users', 'who there is', array_fill(1::real, array[1536]), null), ('messages', 'texts', null, now());

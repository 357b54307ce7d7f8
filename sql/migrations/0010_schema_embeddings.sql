-- Descriptions of the tables with their embeddings, so that a question in plain words finds the
-- tables it is about.
--
-- With the extension pgvector an embedding is a vector, without it an array; embedding_distance
-- takes either, and real[] can be assigned to both. There are about fifty rows: reading them all
-- is exact and quicker than an index.

-- up
do $$
begin
  -- Where the table is there already, nothing is installed: `migrate check` makes it once more.
  if to_regclass('schema_embeddings') is null
    and exists (select from pg_available_extensions where name = 'vector') then
    begin
      create extension if not exists vector;
    exception when insufficient_privilege then
      raise notice 'pgvector is there but this role may not create it: embeddings are arrays';
    end;
  end if;

  create table schema_embeddings (
    id bigserial constraint schema_embeddings_pkey primary key,
    table_name text not null constraint schema_embeddings_table_name_key unique,
    description text not null,
    created_at timestamp not null default (now() at time zone 'UTC'),
    updated_at timestamp not null default (now() at time zone 'UTC')
  );

  if to_regtype('vector') is not null then
    alter table schema_embeddings add embedding vector(1536);
    create function embedding_distance(a vector, b real[]) returns double precision
    language sql immutable parallel safe
    as 'select a <=> b::vector';
  else
    alter table schema_embeddings add embedding real[]
      constraint schema_embeddings_embedding_check check (cardinality(embedding) = 1536);
    -- The cosine distance: 0 in the same direction, 1 at a right angle, 2 in the opposite one.
    create function embedding_distance(a real[], b real[]) returns double precision
    language sql immutable parallel safe
    as 'select 1 - sum(x::float8 * y) / nullif(sqrt(sum(x::float8 * x)) * sqrt(sum(y::float8 * y)), 0)
        from unnest(a, b) u (x, y)';
  end if;
end
$$;

-- down
drop function if exists embedding_distance(real[], real[]);
drop function if exists embedding_distance(vector, real[]);
drop table schema_embeddings;

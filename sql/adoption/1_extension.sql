-- Installs the extensions where the migrations would. They are about to be applied to a schema that will be
-- dropped, and what they install there would go with it.

create extension if not exists pg_trgm;

do $$
begin
  if to_regclass('schema_embeddings') is null
    and exists (select from pg_available_extensions where name = 'vector') then
    create extension if not exists vector;
  end if;
exception when insufficient_privilege then
  raise notice 'pgvector is there but this role may not create it: embeddings are arrays';
end
$$;

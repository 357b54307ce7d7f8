-- Descriptions of tables. There are about fifty: what reads them reads them all.

-- name: SearchSchemaDescriptions
select s.description as descriptions
from schema_embeddings s
where s.embedding is not null
order by embedding_distance(s.embedding, :embedding::real[]), s.table_name
limit :top_k;

-- name: CheckSchemaTableExists
select exists (
  select 1
  from pg_class c
  where c.oid = to_regclass('schema_embeddings')
) as exists;

-- name: CountSchemaEmbeddings
select count(*) as count
from schema_embeddings;

-- name: DescribeSchema
-- page: t.table_name
-- Tables of the service's own are none of the schema.
select t.table_name, t.columns, t.table_comment
from (
  select
    c.relname::text as table_name,
    array_agg(
      concat_ws(
        ' ', a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then 'NOT NULL' end
      )
      order by a.attnum
    ) as columns,
    max(obj_description(c.oid, 'pg_class')) as table_comment
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  where c.relnamespace = current_schema()::regnamespace
    and c.relkind in ('r', 'p')
    and not c.relispartition
    and c.relname <> 'schema_embeddings'
    and not starts_with(c.relname::text, 'twi_data_')
  group by table_name
) t
where :page.after
order by t.table_name
limit :page.size;

-- name: EnsureVectorSetup
select a.atttypid is not distinct from to_regtype('vector') as vector
from pg_attribute a
where a.attrelid = 'schema_embeddings'::regclass and a.attname = 'embedding'
limit 1;

-- name: UpsertSchemaEmbedding
insert into schema_embeddings as s (table_name, description, embedding)
values (:table_name, :description, :embedding::real[])
on conflict (table_name) do update
set description = excluded.description, embedding = excluded.embedding, updated_at = excluded.updated_at
where (s.description, s.embedding::real[]) is distinct from (excluded.description, excluded.embedding::real[]);

-- What the database does now and how large its tables are. All else of AdminService is no statement.

-- name: ListRunningStatements
-- An operation's text begins with its name: see Catalog.
select
  coalesce(a.pid, 0) as pid,
  coalesce(a.usename::text, '') as user_name,
  coalesce(a.application_name, '') as application_name,
  coalesce(host(a.client_addr), '') as client_address,
  coalesce(a.state, '') as state,
  a.query_start as started_at,
  a.xact_start as transaction_started_at,
  a.backend_start as connected_at,
  coalesce(a.wait_event_type || '/' || a.wait_event, '') as wait_event,
  pg_blocking_pids(a.pid) as blocked_by,
  left(coalesce(a.query, ''), 1000) as query,
  coalesce(substring(a.query from '^/\* (\w+/\w+) \*/'), '') as operation
from pg_stat_activity a
where a.datname = current_database()
  and a.backend_type = 'client backend'
  and a.pid <> pg_backend_pid()
  and (:idle or a.state is distinct from 'idle')
  and (:application_name::text is null or a.application_name = :application_name)
order by a.query_start, a.pid;

-- name: CancelStatement
-- One row, whether there is such a statement or not.
select
  coalesce(
    bool_or(case when :terminate then pg_terminate_backend(a.pid) else pg_cancel_backend(a.pid) end),
    false
  ) as signalled
from pg_stat_activity a
where a.datname = current_database()
  and a.backend_type = 'client backend'
  and a.pid <> pg_backend_pid()
  and a.pid = :pid
  and a.query_start = :started_at
  and (:terminate or a.state = 'active');

-- name: ListTableSizes
-- page: coalesce(t.total_bytes, 0) desc, t.table_name desc
-- That relname is not null shows that no key is: nothing is known of the system catalog's columns.
select
  t.table_name as table, coalesce(t.total_bytes, 0) as total_bytes, t.table_bytes,
  t.index_bytes, t.live_rows, t.dead_rows, t.vacuumed_at, t.analyzed_at
from (
  select
    c.relname::text as table_name,
    max(pg_total_relation_size(c.oid)) as total_bytes,
    coalesce(max(pg_table_size(c.oid)), 0) as table_bytes,
    coalesce(max(pg_indexes_size(c.oid)), 0) as index_bytes,
    coalesce(max(pg_stat_get_live_tuples(c.oid)), 0) as live_rows,
    coalesce(max(pg_stat_get_dead_tuples(c.oid)), 0) as dead_rows,
    max(greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)))
      as vacuumed_at,
    max(greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)))
      as analyzed_at
  from pg_class c
  where c.relnamespace = current_schema()::regnamespace
    and c.relkind in ('r', 'm')
    and c.relname is not null
    and (:name_prefix::text is null or starts_with(c.relname::text, :name_prefix))
  group by table_name
) t
where :page.after
order by coalesce(t.total_bytes, 0) desc, t.table_name desc
limit :page.size;

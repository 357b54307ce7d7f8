-- Moves the rows to twi_data_rejected that what is about to be made would refuse. What that is comes
-- from the tables in twi_data_adoption, which are as the migrations make them.

-- Moves the rows of `t` that meet the condition; first those that refer to them.
create function twi_data_adoption.reject(relation regclass, condition text, reason text)
returns void
language plpgsql
as $$
declare
  reference record;
begin
  for reference in
    select c.conrelid::regclass as child,
      string_agg(format('t.%I', child.attname), ', ') as columns,
      string_agg(format('t.%I', parent.attname), ', ') as keys
    from pg_constraint c
    cross join unnest(c.conkey, c.confkey) k (child, parent)
    join pg_attribute child on child.attrelid = c.conrelid and child.attnum = k.child
    join pg_attribute parent on parent.attrelid = c.confrelid and parent.attnum = k.parent
    where c.contype = 'f' and c.confrelid = relation
    group by c.oid
  loop
    perform twi_data_adoption.reject(reference.child,
      format('(%s) in (select %s from %s t where %s)', reference.columns, reference.keys, relation,
        condition),
      format('refers to a row of %s that was rejected', relation));
  end loop;
  execute format(
    'with gone as (delete from %1$s t where %2$s returning t.*)
     insert into twi_data_rejected ("table", row, reason)
     select %1$L, twi_data_adoption.as_jsonb(row_to_json(gone)), %3$L
     from gone', relation, condition, reason);
end
$$;

-- The columns of a table that have to be NOT NULL and are not yet.
create function twi_data_adoption.to_require(relation regclass) returns setof name
language sql stable
as $$
  select live.attname
  from pg_class c
  join pg_attribute ours on ours.attrelid = c.oid and ours.attnum > 0 and ours.attnotnull
  join pg_attribute live on live.attrelid = relation and live.attname = ours.attname
    and not live.attnotnull and not live.attisdropped
  where c.relnamespace = 'twi_data_adoption'::regnamespace
    and c.relname = (select relname from pg_class where oid = relation)
$$;

-- Lets no more rows come without a value: with this, once validated, SET NOT NULL reads no row while
-- readers and writers wait.
create function twi_data_adoption.guard(relation regclass) returns void
language plpgsql
as $$
begin
  execute format('alter table %s drop constraint if exists twi_data_required', relation);
  execute format('alter table %s add constraint twi_data_required check (%s) not valid', relation, (
    select string_agg(format('%I is not null', name), ' and ')
    from twi_data_adoption.to_require(relation) name));
end
$$;

create function twi_data_adoption.reject_nulls(relation regclass) returns void
language plpgsql
as $$
declare
  name text;
begin
  for name in select twi_data_adoption.to_require(relation) loop
    perform twi_data_adoption.reject(relation, format('t.%I is null', name), name || ' is null');
  end loop;
end
$$;

-- Rows that break a check which the table has not yet.
create function twi_data_adoption.reject_unchecked(relation regclass) returns void
language plpgsql
as $$
declare
  ours record;
begin
  for ours in
    select c.conname, pg_get_expr(c.conbin, c.conrelid) as expression
    from pg_constraint c
    join pg_class t on t.oid = c.conrelid
    where t.relnamespace = 'twi_data_adoption'::regnamespace and c.contype = 'c'
      and t.relname = (select relname from pg_class where oid = relation)
      and not exists (
        select from pg_constraint live
        where live.conrelid = relation and live.conname = c.conname and live.convalidated)
  loop
    perform twi_data_adoption.reject(relation, format('not (%s)', ours.expression),
      'breaks ' || ours.conname);
  end loop;
end
$$;

-- Rows whose key an earlier row has, for each key that the table has not yet.
create function twi_data_adoption.reject_duplicates(relation regclass) returns void
language plpgsql
as $$
declare
  ours record;
  age text;
begin
  -- The first column that counts the rows, or else where they lie.
  select quote_ident(a.attname) into age
  from pg_attrdef d
  join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
  where d.adrelid = relation and pg_get_expr(d.adbin, d.adrelid) like 'nextval(%'
  order by a.attnum
  limit 1;

  for ours in
    with keys as (
      select x.indrelid, x.indexrelid, pg_get_expr(x.indpred, x.indrelid) as predicate, (
          select array_agg(pg_get_indexdef(x.indexrelid, n, true) order by n)
          from generate_series(1, x.indnkeyatts) n) as columns
      from pg_index x
      where x.indisunique and x.indisvalid
    )
    select k.columns, k.predicate, i.relname
    from keys k
    join pg_class t on t.oid = k.indrelid
    join pg_class i on i.oid = k.indexrelid
    where t.relnamespace = 'twi_data_adoption'::regnamespace
      and t.relname = (select relname from pg_class where oid = relation)
      and not exists (
        select from keys live
        where live.indrelid = relation and live.columns = k.columns
          and live.predicate is not distinct from k.predicate)
  loop
    perform twi_data_adoption.reject(relation,
      format(
        't.ctid in (
           select d.ctid
           from (
             select ctid, row_number() over (partition by %1$s order by %2$s) as place
             from %3$s
             where num_nulls(%1$s) = 0 and %4$s
           ) d
           where d.place > 1)',
        array_to_string(ours.columns, ', '), coalesce(age, 'ctid'), relation,
        coalesce(ours.predicate, 'true')),
      format('an earlier row has the same %s (%s)', array_to_string(ours.columns, ', '), ours.relname));
  end loop;
end
$$;

-- Rows that refer to none, by a foreign key that the table has already, not valid.
create function twi_data_adoption.reject_orphans(relation regclass, name text) returns void
language plpgsql
as $$
declare
  reference record;
begin
  select c.confrelid::regclass as parent,
    string_agg(format('t.%I is not null', child.attname), ' and ') as given,
    string_agg(format('p.%I = t.%I', parent.attname, child.attname), ' and ') as same
  into strict reference
  from pg_constraint c
  cross join unnest(c.conkey, c.confkey) k (child, parent)
  join pg_attribute child on child.attrelid = c.conrelid and child.attnum = k.child
  join pg_attribute parent on parent.attrelid = c.confrelid and parent.attnum = k.parent
  where c.conrelid = relation and c.conname = name and c.contype = 'f'
  group by c.oid;
  perform twi_data_adoption.reject(relation,
    format('%s and not exists (select from %s p where %s)', reference.given, reference.parent,
      reference.same),
    format('refers to a row of %s that does not exist (%s)', reference.parent, name));
end
$$;

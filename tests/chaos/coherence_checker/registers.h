#pragma once

namespace twi::checker {

inline constexpr int kKeys = 64;
inline constexpr int kAccounts = 4;
inline constexpr int kMoney = 1000;

// Whoever writes a register does it in one way or another to `reg`, and the triggers to the rest.
// Keys from `kKeys` on are nobody's.
inline constexpr char kTables[] = R"(
create table reg (k bigint primary key, v bigint not null);
create table reg_child (k bigint references reg on delete cascade, id bigint, v bigint not null,
  primary key (k, id));
create table reg_log (k bigint primary key, v bigint not null, unique (k, v));
create table reg_branch (k bigint primary key, v bigint not null, unique (k, v),
  foreign key (k, v) references reg_log (k, v) on update cascade);
create table reg_twig (k bigint primary key, v bigint not null, unique (k, v),
  foreign key (k, v) references reg_branch (k, v) on update cascade);
create table reg_leaf (k bigint primary key, v bigint not null,
  foreign key (k, v) references reg_twig (k, v) on update cascade);
create table reg_part (k bigint primary key, v bigint not null) partition by hash (k);
create table reg_part_0 partition of reg_part for values with (modulus 2, remainder 0);
create table reg_part_1 partition of reg_part for values with (modulus 2, remainder 1);
create table account (k bigint primary key, amount bigint not null);
create function follow() returns trigger language plpgsql as $$
begin
  insert into reg_child values (new.k, 1, new.v) on conflict (k, id) do update set v = excluded.v;
  insert into reg_log values (new.k, new.v) on conflict (k) do update set v = excluded.v;
  insert into reg_branch values (new.k, new.v) on conflict do nothing;
  insert into reg_twig values (new.k, new.v) on conflict do nothing;
  insert into reg_leaf values (new.k, new.v) on conflict do nothing;
  insert into reg_part values (new.k, new.v) on conflict (k) do update set v = excluded.v;
  return null;
end $$;
create trigger follow after insert or update on reg for each row when (new.k < 64)
  execute function follow();
create view reg_view as select k, v from reg;
create view reg_door as select k, v from reg;
create rule door as on update to reg_door do instead
  update reg set v = new.v where k = old.k returning reg.k, reg.v;
create view reg_defined as select 1::bigint as v;
insert into reg select k, 1 from generate_series(0, 63) k;
insert into account select k, 1000 from generate_series(0, 3) k;
create materialized view reg_seen as select k, v from reg where k < 64;
create unique index on reg_seen (k);
create function bump(which bigint) returns bigint language sql as $$
  update reg set v = v + 1 where k = which returning v $$;
)";

inline constexpr char kStanzas[] = R"(
-- name: Get
select r.v from reg r where r.k = :k;

-- name: GetByTable
select r.v from reg r where r.k + 0 = :k::bigint limit 1;

-- name: GetChild
select c.v from reg_child c where c.k = :k and c.id = 1;

-- name: GetLogged
select l.v from reg_log l where l.k = :k;

-- name: GetLeaf
select l.v from reg_leaf l where l.k = :k;

-- name: GetPartitioned
select p.v from reg_part p where p.k = :k;

-- name: GetViewed
select r.v from reg_view r where r.k = :k limit 1;

-- name: GetRefreshed
select s.v from reg_seen s where s.k = :k;

-- name: GetDefined
select d.v from reg_defined d where :k::bigint = :k limit 1;

-- name: GetSum
select sum(a.amount)::bigint as v from account a where :k::bigint = :k;

-- name: Bump
update reg set v = v + 1 where k = :k returning v;
)";

}  // namespace twi::checker

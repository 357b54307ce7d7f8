#pragma once

#include <cstdint>

namespace twi::checker {

inline constexpr int kKeys = 64;
inline constexpr int kAccounts = 4;
inline constexpr int kMoney = 1000;
// Of the bot's tables: the rows that are a key's, and the role that writes it.
inline constexpr int64_t kGuild = 1;
inline constexpr int64_t kWritingRoles = 1000;
inline constexpr int64_t IdOf(int64_t key) { return key + 1; }

// Whoever writes a register does it in one way or another to `reg`, and the triggers to the rest,
// which are these tables and some of the bot's. Keys from `kKeys` on are nobody's.
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
  insert into users (user_id, username) values (new.k + 1, new.v)
  on conflict (user_id) do update set username = excluded.username;
  insert into roles (id, guild_id, permissions) values (new.k + 1, 1, new.v)
  on conflict (id) do update set permissions = excluded.permissions;
  insert into poll (id) values (new.k + 1) on conflict (id) do nothing;
  insert into poll_option (option_id, poll_id, option_text, num_votes)
  values (new.k + 1, new.k + 1, '', new.v)
  on conflict (option_id) do update set num_votes = excluded.num_votes;
  insert into server_settings (guild_id, admin_role_id) values (new.k + 1, new.v)
  on conflict (guild_id) do update set admin_role_id = excluded.admin_role_id;
  return null;
end $$;
create trigger follow after insert or update on reg for each row when (new.k < 64)
  execute function follow();
create function write_register() returns trigger language plpgsql as $$
begin
  update reg set v = v + 1 where k = new.id - 1000 returning v into new.permissions;
  return new;
end $$;
create trigger write_register before update of weight on roles for each row when (new.id >= 1000)
  execute function write_register();
insert into servers (server_id) values (1);
insert into roles (id, guild_id) select 1000 + k, 1 from generate_series(0, 63) k;
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

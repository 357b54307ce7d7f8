-- Colours are kept as `#rrggbb`.

-- part: role
-- What is told of a role `r`. A colour that is spelled otherwise is none.
  r.id,
  r.name,
  case
    when r.color ~ '^#[0-9a-fA-F]{6}$' then ('x' || substr(r.color, 2))::bit(24)::integer
  end as color,
  r.permissions,
  r.created_at,
  r.hoisted,
  r.managed,
  r.position,
  r.guild_id,
  r.deleted,
  r.self_assignable,
  r.weight,
  r.alias,
  r.category,
  coalesce(r.required_roles, '{}') as required_roles,
  r.auto_replace

-- part: upsert
-- Makes the roles of a set what is told of them; that one is so already is only looked at. Of rows that
-- were inserted or updated, an inserted one has no `xmax`.
role as (
  select
    q._call, r.id, r.name, '#' || lpad(to_hex(r.color::integer), 6, '0') as color, r.permissions,
    r.created_at, r.hoisted, r.managed, r.position, r.guild_id
  from jsonb_array_elements(:requests) with ordinality q (request, _call)
  cross join jsonb_populate_record(null::roles, q.request -> 'role') r
  where q.request ? 'role'
),
saved_roles as (
  insert into roles as r (
    id, name, color, permissions, created_at, hoisted, managed, position, guild_id
  )
  select
    n.id, n.name, n.color, n.permissions, n.created_at, n.hoisted, n.managed, n.position, n.guild_id
  from role n
  where (
    select
      (r.name, r.color, r.permissions, r.created_at, r.hoisted, r.managed, r.position, r.guild_id)
        is not distinct from (
          n.name, n.color, coalesce(n.permissions, r.permissions),
          coalesce(r.created_at, n.created_at), n.hoisted, n.managed, n.position,
          coalesce(r.guild_id, n.guild_id)
        )
    from roles r
    where r.id = n.id
  ) is not true
  order by n.id
  on conflict (id) do update
  set
    name = excluded.name,
    color = excluded.color,
    permissions = coalesce(excluded.permissions, r.permissions),
    created_at = coalesce(r.created_at, excluded.created_at),
    hoisted = excluded.hoisted,
    managed = excluded.managed,
    position = excluded.position,
    guild_id = coalesce(r.guild_id, excluded.guild_id)
  where (
      r.name, r.color, r.permissions, r.created_at, r.hoisted, r.managed, r.position, r.guild_id
    )
    is distinct from (
      excluded.name, excluded.color, coalesce(excluded.permissions, r.permissions),
      coalesce(r.created_at, excluded.created_at), excluded.hoisted, excluded.managed,
      excluded.position, coalesce(r.guild_id, excluded.guild_id)
    )
  returning id, xmax = 0 as created
)

-- part: memberships
-- Adds the memberships of `role_member` that are not there.
saved_role_memberships as (
  insert into role_membership (user_id, role_id)
  select e.user_id, e.role_id
  from role_member e
  where (
    select m.serial_id
    from role_membership m
    where m.user_id = e.user_id and m.role_id = e.role_id
  ) is null
  order by e.user_id, e.role_id
  on conflict (user_id, role_id) do nothing
  returning user_id, role_id
)

-- part: members
-- The memberships of a set.
role_member as (
  select
    e._call,
    (e.request ->> 'user_id')::bigint as user_id,
    (e.request ->> 'role_id')::bigint as role_id
  from jsonb_array_elements(:requests) with ordinality e (request, _call)
)

-- name: CreateRole
insert into roles as r (
  id, name, color, permissions, created_at, hoisted, managed, position, guild_id
)
values (
  :role.id, :role.name, '#' || lpad(to_hex(:role.color::integer), 6, '0'), :role.permissions,
  :role.created_at, :role.hoisted, :role.managed, :role.position, :role.guild_id
)
returning :part.role;

-- name: UpdateRole
with before as (
  select
    r.id, r.name, r.color, r.permissions, r.created_at, r.hoisted, r.managed, r.position, r.guild_id,
    r.deleted, r.self_assignable, r.weight, r.alias, r.category, r.required_roles, r.auto_replace
  from roles r
  where r.id = :role.id
  for no key update
),
after as (
  select
    b.id,
    case when 'name' = any(:update_mask) then :role.name else b.name end as name,
    case
      when 'color' = any(:update_mask) then '#' || lpad(to_hex(:role.color::integer), 6, '0')
      else b.color
    end as color,
    case
      when 'permissions' = any(:update_mask) then :role.permissions else b.permissions
    end as permissions,
    b.created_at,
    case when 'hoisted' = any(:update_mask) then :role.hoisted else b.hoisted end as hoisted,
    b.managed,
    case when 'position' = any(:update_mask) then :role.position else b.position end as position,
    b.guild_id, b.deleted, b.self_assignable, b.weight, b.alias, b.category, b.required_roles,
    b.auto_replace
  from before b
),
change as (
  select o.key, o.value as old, n.value as new
  from before b
  cross join after a
  cross join jsonb_each_text(to_jsonb(b)) o
  join jsonb_each_text(to_jsonb(a)) n using (key)
  where o.value is distinct from n.value
),
updated as (
  update roles r
  set
    name = a.name,
    color = a.color,
    permissions = a.permissions,
    hoisted = a.hoisted,
    position = a.position
  from after a
  where r.id = a.id and exists (select from change)
),
logged as (
  insert into updates (updated_table, action, before, after, date, primary_key)
  select
    'roles', 'UPDATE_ROLE_' || upper(h.key), h.old, h.new, now() at time zone 'UTC', :role.id::text
  from change h
)
select :part.role
from after r;

-- name: MarkRoleDeleted
-- scan: role_membership: a role is seldom deleted, and each coming and going would pay for an index
with marked as (
  update roles
  set deleted = true
  where id = :id and not deleted
),
gone as (
  delete from role_membership
  where role_id = :id
  returning user_id
)
select (select count(*) from gone) as member_count
from roles r
where r.id = :id;

-- name: UpsertRole
-- batch: role.id
with :part.upsert
select n._call, coalesce(s.created, false) as created, coalesce(not s.created, false) as updated
from role n
left join saved_roles s using (id);

-- name: AddRoleMembership
-- batch: user_id, role_id
with :part.members,
:part.memberships
select e._call, a.user_id is not null as created
from role_member e
left join saved_role_memberships a using (user_id, role_id);

-- name: BatchAddRoleMemberships
-- batch: user_id, role_id
with :part.members,
:part.memberships
select count(a.user_id) as created, count(*) - count(a.user_id) as existing
from role_member e
left join saved_role_memberships a using (user_id, role_id);

-- name: UpdateRoleColor
with updated as (
  update roles
  set color = '#' || lpad(to_hex(:color::integer), 6, '0')
  where id = :id and color is distinct from '#' || lpad(to_hex(:color::integer), 6, '0')
  returning id
)
select exists (select from updated) as updated
from roles r
where r.id = :id;

-- name: ListRoleCategories
-- page: c.category
select coalesce(c.category, '') as categories, c.category
from (
  select r.category
  from roles r
  where r.category is not null
    and not r.deleted
    and (:guild_id::bigint is null or r.guild_id = :guild_id)
  group by r.category
) c
where :page.after
order by c.category
limit :page.size;

-- name: ListSelfAssignableRoles
-- page: s.category, s.weight, s.name, s.id
select s.id, s.name, s.required_roles, s.weight, s.category
from (
  select
    r.id,
    coalesce(r.name, '') as name,
    coalesce(r.required_roles, '{}') as required_roles,
    r.weight,
    coalesce(r.category, 'Uncategorized') as category
  from roles r
  where r.guild_id = :guild_id and r.self_assignable and not r.deleted
) s
where (s.required_roles = '{}' or s.required_roles && :user_role_ids::bigint[]) and :page.after
order by s.category, s.weight, s.name, s.id
limit :page.size;

-- name: GetRole
select :part.role
from roles r
where r.id = :id and r.guild_id = :guild_id;

-- name: UpdateRoleWeight
update roles r
set weight = :weight
where r.id = :id and r.guild_id = :guild_id
returning :part.role;

-- name: EnableSelfAssignableRole
update roles r
set
  self_assignable = true,
  alias = r.id::text,
  category = coalesce(:category, 'Uncategorized'),
  required_roles = nullif(:required_roles::bigint[], '{}'),
  auto_replace = :auto_replace
where r.id = :id and r.guild_id = :guild_id and not r.deleted
returning :part.role;

-- name: DisableSelfAssignableRole
update roles r
set
  self_assignable = false,
  weight = 0,
  alias = null,
  category = null,
  required_roles = null,
  auto_replace = false
where r.id = :id and r.guild_id = :guild_id
returning :part.role;

-- name: ListMemberRolesInCategory
select r.id as role_ids
from roles r
where r.id = any(:role_ids) and r.category = :category and r.guild_id = :guild_id
order by r.id;

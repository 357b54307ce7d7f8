-- name: GetServerSettings
select s.guild_id, s.admin_role_id, s.created_at, s.updated_at
from server_settings s
where s.guild_id = :guild_id;

-- name: GetAdminRoleId
-- none: OK
select s.admin_role_id
from server_settings s
where s.guild_id = :guild_id;

-- name: CreateServerSettings
insert into server_settings (guild_id, admin_role_id)
values (:guild_id, :admin_role_id)
returning guild_id, admin_role_id, created_at, updated_at;

-- name: UpdateAdminRole
update server_settings
set admin_role_id = :admin_role_id, updated_at = now() at time zone 'UTC'
where guild_id = :guild_id
returning guild_id, admin_role_id, created_at, updated_at;

-- name: UpsertServerSettings
insert into server_settings (guild_id, admin_role_id)
values (:guild_id, :admin_role_id)
on conflict (guild_id) do update
set admin_role_id = excluded.admin_role_id, updated_at = excluded.updated_at
returning guild_id, admin_role_id, created_at, updated_at;

-- name: ListAdminRoles
-- page: s.guild_id
select s.guild_id, coalesce(s.admin_role_id, 0) as admin_role_id
from server_settings s
where s.admin_role_id is not null and :page.after
order by s.guild_id
limit :page.size;

"""Guilds: what their administrators have set, and what is reported to their moderators."""

from .operation import Repository, dicts, done, one, operation, rows, value


class ServerSettingsRepository(Repository):
    service = "ServerSettingsService"

    @operation("GetServerSettings", one)
    async def get_by_guild_id(self, guild_id: int): ...

    @operation("GetAdminRoleId", value)
    async def get_admin_role_id(self, guild_id: int) -> int | None: ...

    @operation("CreateServerSettings", one)
    async def create(self, guild_id: int, admin_role_id: int | None = None): ...

    @operation("UpdateAdminRole", done)
    async def update_admin_role(self, guild_id: int, admin_role_id: int) -> bool: ...

    @operation("UpsertServerSettings", one)
    async def upsert(self, guild_id: int, admin_role_id: int): ...

    @operation("ListAdminRoles", dicts)
    async def get_all_admin_roles(self) -> list[dict]: ...


class ReportRepository(Repository):
    service = "ReportsService"

    @operation("GetReport", one)
    async def get_by_message_and_user(self, message_id: int, user_id: int): ...

    @operation("CreateReport", one)
    async def create(self, message_id: int, user_id: int, reason: str, anonymous: bool,
                     additional_info: str | None, reported_user_id: int, guild_id: int | None,
                     channel_id: int): ...

    @operation("CheckReportExists", value)
    async def exists(self, message_id: int, user_id: int) -> bool: ...

    @operation("ListGuildReports", rows)
    async def get_by_guild(self, guild_id: int) -> list: ...

    @operation("ListReportsAgainstUser", rows)
    async def get_by_reported_user(self, reported_user_id: int) -> list: ...

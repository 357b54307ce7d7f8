"""Links: bookmarks of the community, and portfolios of creators."""

from .operation import Repository, dicts, done, one, operation, rows, texts, value


class LinkRepository(Repository):
    """Titles are the same whatever their case."""

    service = "LinksService"

    @operation("ListLinks", rows)
    async def get_all(self) -> list: ...

    @operation("ListLinksForAutocomplete", dicts)
    async def get_all_as_dicts(self) -> list[dict]: ...

    @operation("GetLink", one)
    async def get_by_title(self, title: str): ...

    @operation("ListLinksByTag", rows)
    async def get_by_tag(self, tag: str) -> list: ...

    @operation("ListLinkTitlesByTag", texts)
    async def get_titles_by_tag(self, tag: str) -> list[str]: ...

    @operation("ListGuildLinks", rows)
    async def get_by_guild_id(self, guild_id: int) -> list: ...

    @operation("CreateLink", one)
    async def create(self, title: str, content: str | None = None, tag: str | None = None,
                     user_who_added: str | None = None, id_user_who_added: int | None = None,
                     embed: bool | None = None, guild_id: int | None = None): ...

    @operation("UpdateLink", done)
    async def update(self, title: str, content: str | None = None, tag: str | None = None,
                     embed: bool | None = None) -> bool:
        """Changes what is not None."""

    @operation("DeleteLink", done)
    async def delete_by_title(self, title: str) -> bool: ...

    @operation("CheckLinkExists", value)
    async def exists(self, title: str) -> bool: ...


class CreatorLinkRepository(Repository):
    """A title is there once for a user, and is the same whatever its case."""

    service = "CreatorLinksService"

    @operation("ListCreatorLinkTitles", dicts)
    async def get_all_for_cache(self) -> list[dict]: ...

    @operation("ListCreatorLinks", rows)
    async def get_by_user_id(self, user_id: int) -> list: ...

    @operation("GetCreatorLink", one)
    async def get_by_user_and_title(self, user_id: int, title: str): ...

    @operation("CreateCreatorLink", one)
    async def create(self, user_id: int, title: str, link: str, nsfw: bool = False, weight: int = 0,
                     feature: bool = True): ...

    @operation("UpdateCreatorLink", done)
    async def update(self, user_id: int, title: str, link: str, nsfw: bool = False, weight: int = 0,
                     feature: bool = True) -> bool:
        """Replaces all of the link but its title."""

    @operation("DeleteCreatorLink", done)
    async def delete(self, user_id: int, title: str) -> bool: ...

    @operation("CheckCreatorLinkExists", value)
    async def exists(self, user_id: int, title: str) -> bool: ...

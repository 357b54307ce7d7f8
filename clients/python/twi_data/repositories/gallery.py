"""The gallery: the channels that art may be reposted into, and the work list of its move into forums."""

import datetime

from ..contract import message
from ..errors import UniqueViolationError
from ..transaction import current
from .operation import Repository, done, first_rows, one, operation, rows, value, whole
from .rows import filled


class GalleryMementosRepository(Repository):
    service = "GalleryMementosService"

    @operation("ListGalleryMementos", rows)
    async def get_all(self) -> list: ...

    @operation("ListGuildGalleryMementos", rows)
    async def get_by_guild_id(self, guild_id: int) -> list: ...

    @operation("GetGalleryMementoByChannel", one)
    async def get_by_channel_id(self, channel_id: int): ...

    @operation("CreateGalleryMemento", one)
    async def create(self, channel_name: str, channel_id: int, guild_id: int): ...

    @operation("DeleteGalleryMementoByChannel", done)
    async def delete_by_channel_id(self, channel_id: int) -> bool: ...

    @operation("CheckGalleryMementoExists", value)
    async def exists(self, channel_id: int) -> bool: ...


class GalleryMigrationRepository(Repository):
    """Times without a zone are UTC."""

    service = "GalleryMigrationService"

    @operation("CreateGalleryMigrationEntry", one, into="post")
    async def create_migration_entry(
            self, message_id: int, channel_id: int, channel_name: str, guild_id: int,
            title: str | None = None, images: list[str] | None = None, creator: str | None = None,
            tags: list[str] | None = None, jump_url: str | None = None, author_id: int = 0,
            author_name: str = "", is_bot: bool = False, created_at: datetime.datetime | None = None,
            target_forum: str | None = None, content_type: str | None = None,
            has_attachments: bool = False, attachment_count: int = 0, needs_manual_review: bool = False,
            raw_embed_data: dict | None = None, raw_content: str | None = None): ...

    @operation("GetGalleryMigrationEntry", one)
    async def get_by_message_id(self, message_id: int): ...

    @operation("ListUnmigratedGalleryEntries", rows)
    async def get_all_unmigrated(self) -> list: ...

    @operation("ListGalleryEntriesNeedingReview", first_rows, limit=50)
    async def get_entries_needing_review(self) -> list:
        """The first fifty."""

    @operation("UpdateGalleryMigrationStatus", done)
    async def update_migration_status(self, message_id: int, migrated: bool = True,
                                      migrated_at: datetime.datetime | None = None) -> bool: ...

    @operation("UpdateGalleryReviewStatus", done)
    async def update_review_status(self, message_id: int, reviewed: bool = True,
                                   reviewed_by: int | None = None,
                                   reviewed_at: datetime.datetime | None = None) -> bool: ...

    @operation("UpdateGalleryTags", done)
    async def update_tags(self, message_id: int, tags: list[str]) -> bool: ...

    @operation("GetGalleryMigrationStatistics", whole)
    async def get_statistics(self) -> dict: ...

    @operation("DeleteGalleryMigrationEntry", done)
    async def delete_entry(self, message_id: int) -> bool: ...

    async def bulk_create_entries(self, entries: list[dict]) -> int:
        """Adds those that are not there yet, and says how many these were. Entries without a message are
        left out."""
        post = message("GalleryPost")
        posts = [filled(post, {name: entry.get(name) for name in post.DESCRIPTOR.fields_by_name})
                 for entry in entries if entry.get("message_id")]
        if current(self.database):
            return sum([await self.create_if_new(post) for post in posts])

        async def requests():
            for post in posts:
                yield message("BatchCreateGalleryMigrationEntriesRequest")(post=post)

        answer = await self.database.channel.send(
            f"{self.service}/BatchCreateGalleryMigrationEntries", requests(),
            self.database.command_timeout)
        return answer.created_count

    async def create_if_new(self, post):
        """In a transaction, which takes no streams."""
        request = message("CreateGalleryMigrationEntryRequest")(post=post)
        try:
            async with self.database.transaction():
                await self.database.call(f"{self.service}/CreateGalleryMigrationEntry", request)
        except UniqueViolationError:
            return False
        return True

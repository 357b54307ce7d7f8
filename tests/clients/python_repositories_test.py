"""The Python package: the repositories of the old layer, each method of them."""

import datetime
import inspect
import unittest

from package import Case
from twi_data import errors, repositories
from twi_data.repositories import (CreatorLinkRepository, GalleryMementosRepository,
                                   GalleryMigrationRepository, LinkRepository, ReportRepository,
                                   ServerSettingsRepository)

GUILD, CHANNEL, USER, MESSAGE = 11, 1 << 60, 41, 51
POSTED = datetime.datetime(2020, 1, 2, 3, 4, 5, 678000)
EAST = datetime.timezone(datetime.timedelta(hours=2))


class Repositories(Case):

    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.psql("truncate links, creator_links, gallery_mementos, gallery_migration, reports, "
                  "server_settings; insert into users (user_id, created_at, bot, username) "
                  "values (41, now(), false, 'Erin') on conflict do nothing")

    def test_all_are_there(self):
        """Names of methods and, in their order, of arguments, as programs call them."""
        signatures = {name: {method: list(inspect.signature(function).parameters)[1:]
                             for method, function in vars(getattr(repositories, name)).items()
                             if inspect.iscoroutinefunction(function) and method != "create_if_new"}
                      for name in repositories.__all__}
        self.assertEqual({name: len(methods) for name, methods in signatures.items()},
                         {"CreatorLinkRepository": 7, "GalleryMementosRepository": 6,
                          "GalleryMigrationRepository": 10, "LinkRepository": 10, "ReportRepository": 5,
                          "ServerSettingsRepository": 6})
        self.assertEqual(signatures["ReportRepository"]["create"],
                         ["message_id", "user_id", "reason", "anonymous", "additional_info",
                          "reported_user_id", "guild_id", "channel_id"])
        self.assertEqual(signatures["LinkRepository"]["create"],
                         ["title", "content", "tag", "user_who_added", "id_user_who_added", "embed",
                          "guild_id"])

    async def test_gallery_mementos(self):
        repository = GalleryMementosRepository(self.db)
        made = await repository.create("art", CHANNEL, GUILD)
        self.assertEqual((made.channel_name, made.channel_id, made.guild_id), ("art", CHANNEL, GUILD))
        self.assertEqual(repr(made), f"GalleryMemento(channel_name='art', channel_id={CHANNEL}, guild_id=11)")
        self.assertEqual(await repository.get_by_channel_id(CHANNEL), made)
        self.assertIsNone(await repository.get_by_channel_id(5))
        await repository.create(channel_name="text", channel_id=22, guild_id=12)
        self.assertEqual([row.channel_name for row in await repository.get_all()], ["art", "text"])
        self.assertEqual(await repository.get_by_guild_id(GUILD), [made])
        self.assertTrue(await repository.exists(CHANNEL))
        error = await self.refused(errors.UniqueViolationError, repository.create("other", CHANNEL, GUILD))
        self.assertEqual(error.constraint, "gallery_mementos_pk")
        self.assertTrue(await repository.delete_by_channel_id(CHANNEL))
        self.assertFalse(await repository.delete_by_channel_id(CHANNEL))
        self.assertFalse(await repository.exists(CHANNEL))

    async def test_gallery_migration(self):
        repository = GalleryMigrationRepository(self.db)
        made = await repository.create_migration_entry(
            MESSAGE, CHANNEL, "art", GUILD, title="Innkeeper", images=["https://a.example/1.png"],
            tags=["fanart"], author_id=USER, author_name="Erin",
            created_at=POSTED.replace(tzinfo=EAST), target_forum="nsfw", content_type="attachment",
            has_attachments=True, attachment_count=2, needs_manual_review=True,
            raw_embed_data={"a": [1, {"b": None}]}, raw_content="text")
        entry = await repository.get_by_message_id(MESSAGE)
        self.assertEqual(entry, made)
        self.assertEqual((entry.title, entry.creator, entry.target_forum, entry.is_bot),
                         ("Innkeeper", None, "nsfw", False))
        self.assertEqual((entry.images, entry.tags), (["https://a.example/1.png"], ["fanart"]))
        self.assertEqual((entry.created_at, entry.migrated, entry.migrated_at, entry.reviewed_by),
                         (POSTED - datetime.timedelta(hours=2), False, None, None))
        self.assertEqual(entry.raw_embed_data, {"a": [1, {"b": None}]})
        self.assertIsNone(entry.extracted_at.tzinfo)
        self.assertIsNone(await repository.get_by_message_id(5))
        self.assertEqual(await repository.get_all_unmigrated(), [made])
        self.assertEqual(await repository.get_entries_needing_review(), [made])

        self.assertTrue(await repository.update_review_status(MESSAGE, reviewed=True, reviewed_by=USER))
        self.assertTrue(await repository.update_migration_status(MESSAGE, True, POSTED))
        self.assertTrue(await repository.update_tags(MESSAGE, ["a", "b"]))
        entry = await repository.get_by_message_id(MESSAGE)
        self.assertEqual((entry.reviewed, entry.reviewed_by, entry.migrated, entry.migrated_at, entry.tags),
                         (True, USER, True, POSTED, ["a", "b"]))
        self.assertEqual(await repository.get_entries_needing_review(), [])
        self.assertTrue(await repository.update_tags(MESSAGE, []))
        self.assertEqual((await repository.get_by_message_id(MESSAGE)).tags, [])
        self.assertEqual(await GalleryMigrationRepository(self.db).get_statistics(), {
            "total_entries": 1, "migrated_entries": 1, "pending_migration": 0, "needs_review": 0,
            "bot_posts": 0, "manual_posts": 1, "migration_progress": 100.0})
        for nothing in (repository.update_review_status(5), repository.update_migration_status(5),
                        repository.update_tags(5, []), repository.delete_entry(5)):
            self.assertFalse(await nothing)
        self.assertTrue(await repository.delete_entry(MESSAGE))

    def entries(self, numbers):
        return [{"message_id": number, "channel_id": CHANNEL, "channel_name": "art", "guild_id": 0,
                 "title": None, "images": [], "creator": None, "tags": ["x"], "jump_url": "https://a.example",
                 "author_id": USER, "author_name": "Erin", "is_bot": True,
                 "created_at": POSTED.replace(tzinfo=datetime.timezone.utc), "target_forum": "sfw",
                 "content_type": "text", "has_attachments": False, "attachment_count": 0,
                 "needs_manual_review": False, "raw_embed_data": None, "raw_content": "text", "extra": 1}
                for number in numbers]

    async def test_many_gallery_entries(self):
        repository = GalleryMigrationRepository(self.db)
        self.assertEqual(await repository.bulk_create_entries([]), 0)
        self.assertEqual(await repository.bulk_create_entries(
            self.entries(range(1, 401)) + [{"title": "none"}]), 400)
        self.assertEqual(await repository.bulk_create_entries(self.entries(range(300, 501))), 100)
        async with self.db.transaction():
            self.assertEqual(await repository.bulk_create_entries(self.entries([500, 501, 501, 502])), 2)
        # More than a page, the oldest first.
        found = await repository.get_all_unmigrated()
        self.assertEqual([entry.message_id for entry in found], list(range(1, 503)))
        self.assertEqual((found[0].created_at, found[0].target_forum, found[0].creator),
                         (POSTED, "sfw", None))
        with self.assertRaises(errors.DataError):
            await repository.bulk_create_entries(self.entries([600, -1]))

    async def test_creator_links(self):
        repository = CreatorLinkRepository(self.db)
        made = await repository.create(USER, "AO3", "https://a.example/")
        self.assertEqual((made.user_id, made.title, made.link, made.nsfw, made.weight, made.feature),
                         (USER, "AO3", "https://a.example/", False, 0, True))
        self.assertIsNone(made.last_changed.tzinfo)
        await repository.create(USER, "Art", "https://b.example/", nsfw=True, weight=5, feature=False)
        self.assertEqual([link.title for link in await repository.get_by_user_id(USER)], ["Art", "AO3"])
        self.assertEqual(await repository.get_by_user_and_title(USER, "ao3"), made)
        self.assertIsNone(await repository.get_by_user_and_title(USER, "none"))
        self.assertEqual(await repository.get_all_for_cache(),
                         [{"title": "AO3", "user_id": USER}, {"title": "Art", "user_id": USER}])
        self.assertTrue(await repository.update(USER, "art", "https://c.example/"))
        art = await repository.get_by_user_and_title(USER, "art")
        self.assertEqual((art.link, art.nsfw, art.weight, art.feature),
                         ("https://c.example/", False, 0, True))
        self.assertFalse(await repository.update(USER, "none", "https://c.example/"))
        self.assertTrue(await repository.exists(USER, "ART"))
        self.assertTrue(await repository.delete(USER, "art"))
        self.assertFalse(await repository.delete(USER, "art"))
        # What one cannot tell from the other in the old layer.
        await self.refused(errors.UniqueViolationError, repository.create(USER, "ao3", "https://a.example/"))
        await self.refused(errors.ForeignKeyViolationError,
                           repository.create(999, "AO3", "https://a.example/"))

    async def test_links(self):
        repository = LinkRepository(self.db)
        made = await repository.create("Chapter 10", "https://a.example/", "chapters", "erin", USER, False,
                                       GUILD)
        self.assertEqual((made.title, made.tag, made.user_who_added, made.id_user_who_added, made.embed,
                          made.guild_id), ("Chapter 10", "chapters", "erin", USER, False, GUILD))
        self.assertIsNotNone(made.time_added.tzinfo)
        bare = await repository.create("Chapter 9")
        self.assertEqual((bare.content, bare.tag, bare.embed, bare.guild_id), (None, None, None, None))
        self.assertEqual([link.id for link in await repository.get_all()], [made.id, bare.id])
        self.assertEqual(await repository.get_by_title("chapter 9"), bare)
        self.assertTrue(await repository.update("chapter 9", tag="chapters"))
        self.assertEqual(await repository.get_titles_by_tag("chapters"), ["Chapter 9", "Chapter 10"])
        self.assertEqual(len(await repository.get_by_tag("chapters")), 2)
        self.assertEqual(await repository.get_by_guild_id(GUILD), [made])
        self.assertEqual(set((await repository.get_all_as_dicts())[0]),
                         {"title", "content", "tag", "user_who_added", "id_user_who_added", "time_added",
                          "embed", "guild_id"})
        self.assertTrue(await repository.update("Chapter 9", content="new", embed=False))
        self.assertEqual((await repository.get_by_title("Chapter 9")).tag, "chapters")
        await self.refused(errors.UniqueViolationError, repository.create("CHAPTER 9"))
        self.assertTrue(await repository.exists("chapter 9"))
        self.assertTrue(await repository.delete_by_title("chapter 9"))
        for nothing in (repository.delete_by_title("chapter 9"), repository.exists("chapter 9"),
                        repository.update("chapter 9", "text")):
            self.assertFalse(await nothing)

    async def test_reports(self):
        repository = ReportRepository(self.db)
        made = await repository.create(MESSAGE, USER, "Spam", True, "see above", 42, GUILD, CHANNEL)
        self.assertEqual((made.message_id, made.user_id, made.reported_user_id, made.channel_id, made.reason,
                          made.anonymous, made.additional_info, made.guild_id),
                         (MESSAGE, USER, 42, CHANNEL, "Spam", True, "see above", GUILD))
        self.assertEqual(await repository.get_by_message_and_user(MESSAGE, USER), made)
        self.assertIsNone(await repository.get_by_message_and_user(MESSAGE, 1))
        self.assertTrue(await repository.exists(MESSAGE, USER))
        self.assertEqual(await repository.get_by_guild(GUILD), [made])
        self.assertEqual(await repository.get_by_reported_user(42), [made])
        await self.refused(errors.UniqueViolationError, repository.create(
            MESSAGE, USER, "Spam", True, None, 42, None, CHANNEL))

    async def test_server_settings(self):
        repository = ServerSettingsRepository(self.db)
        self.assertIsNone(await repository.get_by_guild_id(GUILD))
        self.assertIsNone(await repository.get_admin_role_id(GUILD))
        self.assertFalse(await repository.update_admin_role(GUILD, 5))
        made = await repository.create(GUILD)
        self.assertEqual((made.guild_id, made.admin_role_id), (GUILD, None))
        self.assertTrue(await repository.update_admin_role(GUILD, 5))
        self.assertEqual(await repository.get_admin_role_id(GUILD), 5)
        self.assertEqual((await repository.upsert(12, 6)).admin_role_id, 6)
        self.assertEqual(await repository.get_all_admin_roles(), [
            {"guild_id": GUILD, "admin_role_id": 5}, {"guild_id": 12, "admin_role_id": 6}])
        self.assertEqual((await repository.get_by_guild_id(12)).admin_role_id, 6)

    async def test_what_cannot_be_asked(self):
        for wrong in (GalleryMementosRepository(self.db).create("", CHANNEL, GUILD),
                      LinkRepository(self.db).create("x", tag=7),
                      LinkRepository(self.db).get_by_title(None),
                      ServerSettingsRepository(self.db).get_by_guild_id("guild"),
                      GalleryMigrationRepository(self.db).create_migration_entry(
                          1, 2, "art", 3, target_forum="other")):
            await self.refused(errors.DataError, wrong)
        error = await self.refused(errors.DataError, LinkRepository(self.db).create("x" * 101, tag="y" * 51))
        self.assertEqual([field for field, _ in error.violations], ["title", "tag"])
        with self.assertRaises(TypeError):
            await LinkRepository(self.db).create()

    async def test_an_outage_is_no_answer(self):
        """What cannot be known is neither None nor False."""
        self.psql("alter table links rename to hidden")
        try:
            links = LinkRepository(self.db)
            for call in (links.get_by_title("x"), links.exists("x"), links.get_all(),
                         links.delete_by_title("x")):
                with self.assertRaises(errors.DatabaseError):
                    await call
        finally:
            self.psql("alter table hidden rename to links")


if __name__ == "__main__":
    unittest.main()

"""The examples of the guide to the layer that this service replaces, each with what it came to there."""

import unittest

import grpc
from raw import Code, Conversation, Database, make, plain, query, row, rows
from seed_data import CHANNEL, GUILD, MESSAGE, SAVED, USER
from twi.data.v1 import (admin_pb2, admin_pb2_grpc, cache_pb2, cache_pb2_grpc, database_pb2,
                         gallery_migration_pb2, gallery_migration_pb2_grpc, transaction_pb2, upkeep_pb2)

import server as program

INDEXES = {"idx_messages_created_at_range", "idx_active_messages", "idx_threads_parent_archived",
           "idx_active_threads", "idx_role_membership_by_server", "idx_reactions_recent",
           "idx_updates_date", "idx_updates_table_action", "idx_join_leave_server_date"}


class SeedExamples(Database):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        program.query(cls.server.dsn, SAVED.format(guild=GUILD, channel=CHANNEL, message=MESSAGE,
                                                   user=USER))
        program.query(cls.server.dsn, "create table table1 (name text primary key, value int);"
                                      "create table table2 (name text primary key, value int, active bool);"
                                      "insert into table2 values ('example1', 7, true), ('b', 1, false)")
        cls.admin = admin_pb2_grpc.AdminServiceStub(cls.channel)
        cls.cache = cache_pb2_grpc.CacheServiceStub(cls.channel)

    def test_raw_access(self):
        execute = "INSERT INTO gallery_mementos(channel_name, channel_id, guild_id) VALUES($1, $2, $3)"
        self.assertEqual(self.execute(execute, "art", CHANNEL, GUILD).command_tag, "INSERT 0 1")
        self.assertEqual(self.fetch("SELECT * FROM gallery_mementos WHERE guild_id = $1", GUILD),
                         [(CHANNEL, "art", GUILD)])
        found = self.stub.FetchRow(database_pb2.FetchRowRequest(
            query=query("SELECT * FROM messages WHERE message_id = $1", MESSAGE)))
        named = {column.name: plain(value) for column, value in zip(found.columns, found.row.values)}
        self.assertEqual((named["message_id"], named["content"]), (MESSAGE, "Text 0"))
        self.assertEqual(plain(self.value("SELECT COUNT(*) FROM messages WHERE channel_id = $1",
                                          CHANNEL).value), 5)

    def test_repositories(self):
        stub = gallery_migration_pb2_grpc.GalleryMigrationServiceStub(self.channel)
        post = gallery_migration_pb2.GalleryPost(message_id=7, channel_id=CHANNEL, guild_id=GUILD,
                                                 title="Innkeeper")
        request = gallery_migration_pb2.BatchCreateGalleryMigrationEntriesRequest
        stub.BatchCreateGalleryMigrationEntries(iter([request(post=post), request(post=post)]))
        entry = stub.GetGalleryMigrationEntry(
            gallery_migration_pb2.GetGalleryMigrationEntryRequest(message_id=7)).entry
        self.assertEqual(entry.title, "Innkeeper")
        stub.GetGalleryMigrationStatistics(
            gallery_migration_pb2.GetGalleryMigrationStatisticsRequest())

    def test_transactions(self):
        with Conversation(self.stub) as transaction:
            transaction.execute("INSERT INTO table1(name, value) VALUES($1, $2)", "in one", 1)
            transaction.execute("UPDATE table2 SET value = value + 1 WHERE name = $1", "b")
            self.assertEqual(self.psql("select count(*) from table1 where name = 'in one'"), "0")
            transaction.commit()
        self.assertEqual(self.psql("select value from table2 where name = 'b'"), "2")
        # As an exception within the block did: nothing is left of it.
        with Conversation(self.stub) as transaction:
            transaction.execute("INSERT INTO table1(name, value) VALUES($1, $2)", "undone", 1)
        self.assertEqual(self.psql("select count(*) from table1 where name = 'undone'"), "0")

        self.stub.ExecuteInTransaction(database_pb2.ExecuteInTransactionRequest(queries=[
            query("INSERT INTO table1(name, value) VALUES($1, $2)", "example1", 100),
            query("UPDATE table2 SET value = value + $1 WHERE name = $2", 50, "example1")]))
        self.assertEqual(self.psql("select value from table2 where name = 'example1'"), "57")

    def test_two_rows_are_changed_as_one(self):
        transfer = [query("UPDATE table2 SET active = false WHERE name = $1", "example1"),
                    query("UPDATE table2 SET active = true WHERE name = $1", "b")]
        self.stub.ExecuteInTransaction(database_pb2.ExecuteInTransactionRequest(queries=transfer))
        self.assertEqual(self.psql("select string_agg(name, ',') from table2 where active"), "b")

    def test_bulk(self):
        sql = ("INSERT INTO users(user_id, username, created_at, bot) VALUES($1, $2, $3, false) "
               "ON CONFLICT DO NOTHING")
        records = [row(1000 + n, f"User {n}", make("2020-01-01")) for n in range(500)]
        many = database_pb2.ExecuteManyRequest
        for inserted in 500, 0:
            done = self.stub.ExecuteMany(iter([many(sql=sql, rows=records)]))
            self.assertEqual((done.row_count, done.affected_rows), (500, inserted))
        columns = ["message_id", "content", "created_at", "user_name", "server_name", "server_id",
                   "channel_id", "channel_name", "user_id", "jump_url", "is_bot"]
        records = [row(5000 + n, f"Copied {n}", "2020-01-01 00:00:00", "Erin", "Guild", GUILD, 201,
                       "other", USER, "https://discord.com", False) for n in range(500)]
        self.assertEqual(self.stub.CopyIn(iter([database_pb2.CopyInRequest(
            table="messages", columns=columns, rows=records)])).row_count, 500)

    def test_errors(self):
        with self.assertRaises(grpc.RpcError) as context:
            self.fetch("SELECT * FROM users WHERE nothing = $1", 1)
        self.assertEqual(context.exception.code(), Code.INVALID_ARGUMENT)
        self.assertIn("nothing", context.exception.details())

    def test_query_building(self):
        for n in range(5):
            self.execute("INSERT INTO gallery_mementos(channel_name, channel_id, guild_id) "
                         "VALUES ($1, $2, $3)", f"page {n}", 9000 + n, 9)
        page = ("SELECT channel_name FROM gallery_mementos WHERE guild_id = $1 "
                "ORDER BY channel_name LIMIT $2 OFFSET $3")
        self.assertEqual(self.fetch(page, 9, 2, 2), [("page 2",), ("page 3",)])
        self.assertEqual(self.fetch(
            "SELECT c.name, s.server_name FROM channels c JOIN servers s ON c.guild_id = s.server_id "
            "WHERE c.id = $1", CHANNEL), [("art", "Guild")])

    def test_optimizations_and_views(self):
        told = [answer.step for name in ("OPTIMIZATION_SET_BASE", "OPTIMIZATION_SET_ADDITIONAL")
                for answer in self.admin.ApplyOptimizations(
                    upkeep_pb2.ApplyOptimizationsRequest(set=name))]
        # Made, or there under whatever name.
        there = {step.name for step in told if step.outcome in (
            upkeep_pb2.UPKEEP_OUTCOME_MADE, upkeep_pb2.UPKEEP_OUTCOME_THERE,
            upkeep_pb2.UPKEEP_OUTCOME_SERVED, upkeep_pb2.UPKEEP_OUTCOME_ROLLED)}
        self.assertEqual(INDEXES - there, set())
        list(self.admin.RefreshMaterializedViews(upkeep_pb2.RefreshMaterializedViewsRequest()))
        self.assertEqual(self.fetch(
            "SELECT message_count FROM user_channel_activity WHERE user_id = $1 AND channel_id = $2",
            USER, CHANNEL), [(5,)])
        self.assertTrue(self.fetch("SELECT * FROM weekly_message_stats WHERE server_id = $1", GUILD))
        list(self.admin.MaintainIndexes(upkeep_pb2.MaintainIndexesRequest()))

    def test_cache_statistics(self):
        told = self.cache.GetCacheStats(cache_pb2.GetCacheStatsRequest())
        self.assertEqual(told.total_requests, told.hits + told.misses)
        self.assertEqual({"hits", "misses", "hit_rate", "evictions", "invalidations", "total_requests"}
                         - {field.name for field in told.DESCRIPTOR.fields}, set())

    def test_prepared_statements(self):
        self.stub.Prepare(database_pb2.PrepareRequest(
            name="get_user", sql="SELECT user_id, username FROM users WHERE user_id = $1"))
        prepared = transaction_pb2.Query(prepared="get_user", parameters=[make(USER)])
        self.assertEqual(rows(self.stub.Fetch(database_pb2.FetchRequest(query=prepared)).table),
                         [(USER, "Erin")])
        self.assertEqual(plain(self.stub.FetchRow(
            database_pb2.FetchRowRequest(query=prepared)).row.values[1]), "Erin")
        self.assertEqual(plain(self.stub.FetchVal(
            database_pb2.FetchValRequest(query=prepared)).value), USER)
        self.assertEqual(self.stub.Execute(
            database_pb2.ExecuteRequest(query=prepared)).outcome.command_tag, "SELECT 1")

    def test_health(self):
        self.assertEqual(program.run("health", f"--listen={self.server.grpc}").returncode, 0)
        told = self.admin.ValidateConnections(admin_pb2.ValidateConnectionsRequest())
        self.assertGreater(told.checked, 0)
        self.assertEqual(told.dead, 0)

    def test_pool(self):
        settings = self.admin.GetPool(admin_pb2.GetPoolRequest()).settings
        self.assertEqual((settings.min_connections, settings.idle_timeout.seconds,
                          settings.connect_timeout.seconds), (5, 300, 10))


if __name__ == "__main__":
    unittest.main()

// What our migrations make.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sql/migrate.h"
#include "tests/support/bot.h"
#include "tests/support/database.h"

namespace twi::sql {
namespace {

using testing::Database;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(MigrationsTest, TheyGoUpAndDownAndLeaveNothing) {
  Database database;
  auto migrations = Migrations::Load(database.dsn());
  ASSERT_TRUE(migrations.ok()) << migrations.status();
  ASSERT_GE(migrations->Latest(), 2);
  ASSERT_TRUE(migrations->Up({}).ok());
  EXPECT_THAT(migrations->Check()->differences, IsEmpty());
  for (int number = migrations->Latest() - 1; number >= 0; --number) {
    ASSERT_TRUE(migrations->Down(1, {}).ok());
    EXPECT_EQ(migrations->Check()->differences.size(),
              static_cast<size_t>(migrations->Latest() - number));
  }
  ASSERT_TRUE(migrations->Up({}).ok());
  EXPECT_THAT(migrations->Check()->differences, IsEmpty());
}

TEST(MigrationsTest, TheyHaveNoDuplicateIndexes) {
  Database database;
  auto migrations = Migrations::Load(database.dsn());
  ASSERT_TRUE(migrations.ok()) << migrations.status();
  ASSERT_TRUE(migrations->Up({}).ok());
  // A btree whose columns another one begins with is a duplicate.
  EXPECT_EQ(database.Value(R"(
      select coalesce(string_agg(a.indexrelid::regclass || ' in ' || b.indexrelid::regclass, ', '), '')
      from pg_index a
      join pg_index b on a.indrelid = b.indrelid and a.indexrelid <> b.indexrelid
      join pg_class c on c.oid = a.indrelid and c.relnamespace = 'public'::regnamespace
      where a.indpred is null and b.indpred is null and a.indexprs is null and b.indexprs is null
        and b.indkey::text || ' ' like a.indkey::text || ' %')"),
            "");
}

TEST(MigrationsTest, TablesHaveKeysAndIdsThatAreNotUsedUp) {
  Database database;
  auto migrations = Migrations::Load(database.dsn());
  ASSERT_TRUE(migrations.ok()) << migrations.status();
  ASSERT_TRUE(migrations->Up({}).ok());
  EXPECT_EQ(database.Value(R"(
      select count(*) from pg_tables where schemaname = 'public' and tablename not like 'twi_data_%')"),
            "48");
  EXPECT_EQ(database.Value(R"(
      select coalesce(string_agg(c.relname, ', '), '')
      from pg_class c
      where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
        and not exists (select from pg_index where indrelid = c.oid and indisprimary))"),
            "");
  EXPECT_EQ(database.Value(R"(
      select coalesce(string_agg(seqrelid::regclass::text, ', '), '')
      from pg_sequence where seqtypid <> 'bigint'::regtype)"),
            "");
}

/// Whether the stand-in for pgvector is there.
class EmbeddingsTest : public ::testing::TestWithParam<bool> {};

TEST_P(EmbeddingsTest, HaveADistance) {
  Database database;
  if (GetParam()) testing::MakeBots(database, {"pgvector"});
  auto migrations = Migrations::Load(database.dsn());
  ASSERT_TRUE(migrations.ok()) << migrations.status();
  const absl::Status up = migrations->Up({});
  ASSERT_TRUE(up.ok()) << up;
  EXPECT_EQ(database.Value(R"(
      select format_type(atttypid, null) from pg_attribute
      where attrelid = 'schema_embeddings'::regclass and attname = 'embedding')"),
            GetParam() ? "vector" : "real[]");
  database.Run(R"(
      insert into schema_embeddings (table_name, description, embedding)
      select name, '', array_fill(0::real, array[1534]) || ends
      from (values ('same', '{3,0}'::real[]), ('right', '{0,2}'), ('opposite', '{-1,0}')) v (name, ends))");
  EXPECT_EQ(database.Value(R"(
      select string_agg(table_name || ' ' || distance, ', ' order by distance)
      from (
        select table_name,
          embedding_distance(embedding, array_fill(0::real, array[1534]) || '{1,0}'::real[]) as distance
        from schema_embeddings) s)"),
            "same 0, right 1, opposite 2");
  EXPECT_THAT(migrations->Check()->differences, IsEmpty());
  ASSERT_TRUE(migrations->To(0, {}).ok());
  EXPECT_EQ(database.Value("select count(*) from pg_proc where proname = 'embedding_distance'"),
            "0");
}

INSTANTIATE_TEST_SUITE_P(WithPgvector, EmbeddingsTest, ::testing::Bool());

TEST(MigrationsTest, PgvectorThatComesLaterIsTold) {
  Database database;
  auto migrations = Migrations::Load(database.dsn());
  ASSERT_TRUE(migrations.ok()) << migrations.status();
  ASSERT_TRUE(migrations->Up({}).ok());
  database.Run(R"(
      insert into schema_embeddings (table_name, description, embedding)
      values ('quotes', 'what was said', array_fill(1::real, array[1536])))");
  testing::MakeBots(database, {"pgvector"});
  const auto check = migrations->Check();
  ASSERT_TRUE(check.ok()) << check.status();
  EXPECT_THAT(check->differences, ::testing::Contains(HasSubstr("embedding is `real[]`")));
  database.Run(check->draft);
  EXPECT_THAT(migrations->Check()->differences, IsEmpty());
  EXPECT_EQ(database.Value("select cardinality(embedding::real[]) from schema_embeddings"), "1536");
}

}  // namespace
}  // namespace twi::sql

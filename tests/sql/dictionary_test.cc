#include "sql/dictionary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pqxx/pqxx>

#include "tests/support/database.h"

namespace twi::sql {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ReadDictionary, WhatIsTemporaryIsItsOwnSessions) {
  const testing::Database database;
  pqxx::connection connection(database.dsn());
  pqxx::nontransaction(connection).exec("create temporary table passing (id bigint primary key)");
  const auto read = ReadDictionary(database.dsn(), "create temporary table own (id bigint)");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->relations.contains("own"));
  for (const auto& [name, relation] : read->relations) EXPECT_THAT(name, Not(HasSubstr("passing")));
}

}  // namespace
}  // namespace twi::sql

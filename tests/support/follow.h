#pragma once

#include <gtest/gtest.h>

#include <string>

#include "sql/changes.h"
#include "sql/outbox_triggers.h"
#include "sql/publication.h"

namespace twi::testing {

/// Prepares a database to be followed in a way, and again after its tables have changed.
inline void PrepareToFollow(const std::string& dsn, sql::ChangesFrom from) {
  ASSERT_TRUE(sql::PreparePublication(dsn).ok());
  if (from != sql::ChangesFrom::kOutbox) return;
  const auto left = sql::PrepareOutbox(dsn);
  ASSERT_TRUE(left.ok()) << left.status();
  ASSERT_TRUE(left->empty()) << left->front();
}

/// All ways, as values of a parameter, and their names in those of tests.
inline const auto kWays = ::testing::Values(sql::ChangesFrom::kStream, sql::ChangesFrom::kOutbox);
inline std::string NameOfWay(const ::testing::TestParamInfo<sql::ChangesFrom>& way) {
  return sql::NameOf(way.param);
}

}  // namespace twi::testing

// Answers of which only rows with one key are part: they outlive writes to other keys, and no write
// to their own, whatever it is made by.

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "tests/support/caching_fixture.h"

namespace twi::server {
namespace {

class CachingKeysTest : public CachingTest {
 protected:
  /// What is kept of `method` for `id` is still right after the script.
  static void ExpectKept(const std::string& script, const std::string& method, int64_t id) {
    Kept(method, id);
    Run(script);
    UntilTold();
    EXPECT_TRUE(IsKept(method, id)) << script;
  }
  /// It is not, and the answer after the script is `value`.
  static void ExpectGone(const std::string& script, const std::string& method, int64_t id,
                         int64_t value) {
    Kept(method, id);
    Run(script);
    UntilTold();
    const Got got = Read(method, id);
    EXPECT_NE(got.cache, "hit") << script;
    EXPECT_EQ(got.value, value) << script;
  }
};

TEST_P(CachingKeysTest, AnAnswerOutlivesWritesToOtherKeys) {
  ExpectKept("update number set value = value + 1 where id = 2", "Get", 1);
  ExpectKept("insert into number values (1001, 1, 1); delete from number where id = 1001", "Get",
             1);
  ExpectKept("update score set value = 2 where team = 2 and id = 1", "Score", 1);
  ExpectKept("delete from team where id = 3", "Score", 1);
  // Of a group without a key every write counts.
  ExpectGone("update number set value = 0 where id = 21", "Sum", 5,
             5 + 15 + 25 + 35 + 45 + 55 + 65 + 75 + 85 + 95);
}

TEST_P(CachingKeysTest, AnAnswerDoesNotOutliveAWriteToItsKey) {
  ExpectGone("update number set value = 31 where id = 11", "Get", 11, 31);
  ExpectGone("insert into score values (4, 4, 10)", "Score", 4, 13);
  ExpectGone("delete from score where team = 4 and id = 4", "Score", 4, 3);
  ExpectGone(
      "merge into number n using (values (12::bigint)) v (id) on n.id = v.id"
      " when matched then update set value = 32",
      "Get", 12, 32);
  ExpectGone("insert into number values (13, 3, 0) on conflict (id) do update set value = 33",
             "Get", 13, 33);
  ExpectGone(
      "begin; update number set value = 0 where id = 14; savepoint s;"
      "update number set value = 34 where id = 14; commit",
      "Get", 14, 34);
}

TEST_P(CachingKeysTest, ARowThatMovesCountsWhereItWasAndWhereItIs) {
  ExpectGone("update score set team = 6, id = 9 where team = 5 and id = 1", "Score", 5, 2);
  ExpectGone("update score set team = 6, id = 8 where team = 5 and id = 2", "Score", 6, 5);
  ExpectGone("update number set id = 2015 where id = 15", "Get", 15, 0);
  Kept("Get", 15);
  ExpectGone("update number set id = 15 where id = 2015", "Get", 15, 15);
}

TEST_P(CachingKeysTest, WhatOthersDoToAKeyCounts) {
  ExpectGone("delete from team where id = 7", "Score", 7, 0);
  ExpectGone("update team set id = 108 where id = 8", "Score", 8, 0);
  ExpectGone("update team set id = 8 where id = 108", "Score", 8, 3);
  ExpectGone("update number set value = 0 where id = 100", "Score", 9, 15);
}

TEST_P(CachingKeysTest, WhatIsToldWithoutRowsIsAWriteToEveryKey) {
  ExpectGone(
      "update number set value = value + 1000 where id > 16 and id <= 100;"
      "insert into number select n, 0, 0 from generate_series(10000, 20000) n",
      "Get", 16, 16);
}

TEST_P(CachingKeysTest, MoreThanEightTagsAreThoseOfTheTables) {
  const auto tags = [](const test::v1::TwoNumbers& request) {
    std::set<cache::Tag> all;
    const auto text = [&](int placeholder, bool number) {
      return Of("Often").TextOf(request, placeholder, number);
    };
    const Caching::Fill fill = served->caching()->Begin(Of("Often").statement(), text);
    for (const auto& dependence : fill.basis.dependences) all.insert(dependence.tag);
    return all;
  };
  std::set<cache::Tag> tables;
  for (const char* table : {"number", "team", "score"}) {
    tables.insert(cache::TableTag(static_cast<sql::Oid>(std::stoul(
        served->database().Value(absl::StrCat("select '", table, "'::regclass::oid"))))));
  }
  test::v1::TwoNumbers request;
  request.set_first(1);
  request.set_second(1);
  EXPECT_EQ(tags(request).size(), 6U) << "a key and what is told without rows, of each table";
  request.set_second(2);
  EXPECT_EQ(tags(request), tables);
  request.clear_first();
  EXPECT_EQ(tags(request), tables) << "NULL is no key";
}

TEST_P(CachingKeysTest, CopiedAndTruncatedRowsCount) {
  ExpectGone("copy score from program 'printf \"10\\t4\\t7\\n\"'", "Score", 10, 10);
  ExpectKept("copy score from program 'printf \"10\\t5\\t7\\n\"'", "Score", 11);
  ExpectGone("truncate score", "Score", 11, 0);
}

INSTANTIATE_TEST_SUITE_P(Ways, CachingKeysTest, testing::kWays, testing::NameOfWay);

}  // namespace
}  // namespace twi::server

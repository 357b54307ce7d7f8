#include "cache/coherence.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "sql/big_endian.h"

namespace twi::cache {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

constexpr sql::Oid kTable = 16500;
constexpr sql::Oid kOther = 16501;

sql::Snapshot Before(uint64_t next) {
  std::string bytes(4, '\0');
  sql::AppendBigEndian(next, &bytes);
  sql::AppendBigEndian(next, &bytes);
  return *sql::Snapshot::Read(bytes);
}

sql::KeyHash Key(const char* value) { return sql::HashKey(kTable, "id", value); }

/// The test is the source: it tells what it wants to have changed.
class CoherenceTest : public ::testing::Test, private sql::ChangeSource {
 protected:
  CoherenceTest() {
    coherence_.SetSource(this);
    listener().OnOpen(100, sql::ChangesFrom::kStream);
  }

  sql::ChangeListener& listener() { return coherence_; }

  Basis BasisOf(std::vector<Tag> tags, uint64_t next) {
    Basis basis;
    basis.generation = coherence_.generation();
    basis.snapshot = Before(next);
    for (Tag tag : tags) basis.dependences.push_back({tag});
    return basis;
  }

  void Commit(uint64_t xid, sql::Oid table, std::vector<const char*> keys, bool whole = false) {
    sql::Changes changes;
    changes.transaction = xid;
    sql::TableChanges& of_table = changes.tables[table];
    for (const char* key : keys) of_table.Add(Key(key));
    if (whole) of_table.AddAll();
    listener().OnCommit(changes);
  }

  Coherence coherence_;
  std::atomic<int> freshened_{0};

 private:
  void Freshen() override { ++freshened_; }
};

TEST_F(CoherenceTest, AnAnswerIsRightUntilATransactionItDidNotSeeChangesItsTable) {
  Basis basis = BasisOf({TableTag(kTable)}, 150);
  ASSERT_TRUE(coherence_.Admits(&basis));
  Commit(200, kOther, {"7"});
  EXPECT_TRUE(coherence_.Right(basis));
  Commit(149, kTable, {"7"});
  EXPECT_TRUE(coherence_.Right(basis)) << "it saw that one";
  Commit(150, kTable, {"7"});
  EXPECT_FALSE(coherence_.Right(basis));
}

TEST_F(CoherenceTest, AChangeThatWasToldBeforeItCouldBeSeenKeepsAnAnswerOut) {
  Commit(150, kTable, {"7"});
  Basis basis = BasisOf({TableTag(kTable)}, 150);
  EXPECT_FALSE(coherence_.Admits(&basis));
}

TEST_F(CoherenceTest, AnAnswerForOneKeyOutlivesChangesOfOthers) {
  Basis basis = BasisOf({KeyTag(Key("7")), RestTag(kTable)}, 150);
  ASSERT_TRUE(coherence_.Admits(&basis));
  Commit(200, kTable, {"8"});
  EXPECT_TRUE(coherence_.Right(basis));
  Commit(201, kTable, {"7", "9"});
  EXPECT_FALSE(coherence_.Right(basis));
}

TEST_F(CoherenceTest, AChangeOfAWholeTableIsOneOfEveryKey) {
  Basis basis = BasisOf({KeyTag(Key("7")), RestTag(kTable)}, 150);
  ASSERT_TRUE(coherence_.Admits(&basis));
  Commit(200, kTable, {}, /*whole=*/true);
  EXPECT_FALSE(coherence_.Right(basis));
}

TEST_F(CoherenceTest, VeryManyKeysAreAWholeTable) {
  sql::TableChanges changes;
  for (int i = 0; i <= static_cast<int>(sql::TableChanges::kMostKeys); ++i) {
    changes.Add(Key(std::to_string(i).c_str()));
  }
  EXPECT_TRUE(changes.whole);
  EXPECT_TRUE(changes.keys.empty());
}

TEST_F(CoherenceTest, WhatMayHaveMissedAnUntoldTransactionIsNotAdmitted) {
  Basis early = BasisOf({TableTag(kTable)}, 99);
  EXPECT_FALSE(coherence_.Admits(&early));
  Basis late = BasisOf({TableTag(kTable)}, 100);
  EXPECT_TRUE(coherence_.Admits(&late));
}

TEST_F(CoherenceTest, ANewSchemaOrANewStreamEndsAllAnswers) {
  const Basis first = BasisOf({TableTag(kTable)}, 150);
  sql::Changes changes;
  changes.transaction = 151;
  changes.schema = true;
  listener().OnCommit(changes);
  EXPECT_FALSE(coherence_.Right(first));
  const Basis second = BasisOf({TableTag(kTable)}, 160);
  listener().OnSchemaChange();
  EXPECT_FALSE(coherence_.Right(second));
  const Basis third = BasisOf({TableTag(kTable)}, 160);
  listener().OnClosed();
  EXPECT_TRUE(coherence_.Right(third)) << "for those who ask for staleness";
  listener().OnOpen(200, sql::ChangesFrom::kStream);
  EXPECT_FALSE(coherence_.Right(third));
}

TEST_F(CoherenceTest, WhatWasReadUnderAnOldSchemaIsNotAdmittedUnderTheNew) {
  sql::Changes changes;
  changes.transaction = 150;
  changes.schema = true;
  listener().OnCommit(changes);
  // Told, but not visible to the statement yet.
  Basis before = BasisOf({TableTag(kTable)}, 150);
  EXPECT_FALSE(coherence_.Admits(&before));
  EXPECT_FALSE(coherence_.SeesBeginning(Before(150)));
  EXPECT_FALSE(coherence_.SeesBeginning(Before(99))) << "it may miss what was not told";
  Basis after = BasisOf({TableTag(kTable)}, 151);
  EXPECT_TRUE(coherence_.Admits(&after));
  EXPECT_TRUE(coherence_.SeesBeginning(Before(151)));
}

TEST_F(CoherenceTest, ChangesToldOfAnOldSchemaStillCount) {
  Commit(150, kTable, {"7"});
  listener().OnSchemaChange();
  Basis basis = BasisOf({TableTag(kTable)}, 150);
  EXPECT_FALSE(coherence_.Admits(&basis));
}

TEST_F(CoherenceTest, NothingIsAdmittedWhileNothingIsTold) {
  Basis basis = BasisOf({TableTag(kTable)}, 150);
  listener().OnClosed();
  EXPECT_FALSE(coherence_.Admits(&basis));
  EXPECT_EQ(coherence_.current_as_of(), BootClock::time_point::min());
}

TEST_F(CoherenceTest, WhoWaitsIsToldWhenItIsCurrent) {
  const auto since = BootClock::now();
  int told = 0;
  coherence_.Await(since, hours(1), [&] { ++told; });
  EXPECT_EQ(freshened_, 1);
  listener().OnCurrent(since - milliseconds(1), 1);
  EXPECT_EQ(told, 0);
  listener().OnCurrent(since, 2);
  EXPECT_EQ(told, 1);
  coherence_.Await(since, hours(1), [&] { ++told; });
  EXPECT_EQ(told, 2) << "it is current already";
  EXPECT_EQ(freshened_, 1);
}

TEST_F(CoherenceTest, WhoWaitsForATransactionIsToldWithIt) {
  const auto begin = BootClock::now();
  int told = 0;
  const auto wait = [&](uint64_t transaction) {
    coherence_.Await(
        BootClock::now(), hours(1), [&] { ++told; }, transaction);
  };
  wait(150);
  Commit(149, kTable, {"7"});
  listener().OnTick(1);
  EXPECT_EQ(told, 0);
  Commit(150, kTable, {"7"});
  listener().OnTick(2);
  EXPECT_EQ(told, 1);
  wait(150);
  EXPECT_EQ(told, 2) << "it is told already";
  // On a busy machine it may be late for real, and is asked for.
  if (BootClock::now() - begin < milliseconds(3)) {
    EXPECT_EQ(freshened_, 0);
  }
  listener().OnOpen(200, sql::ChangesFrom::kStream);
  wait(150);
  EXPECT_EQ(told, 2) << "another transaction may have this number";
}

TEST_F(CoherenceTest, WhatIsNotToldInTimeIsAskedFor) {
  int told = 0;
  coherence_.Await(
      BootClock::now(), hours(1), [&] { ++told; }, 150);
  while (freshened_ == 0) listener().OnTick(1);
  listener().OnTick(1);
  EXPECT_EQ(freshened_, 1) << "once";
  EXPECT_EQ(told, 0);
  listener().OnCurrent(BootClock::now(), 1);
  EXPECT_EQ(told, 1);
}

TEST_F(CoherenceTest, TheOutboxIsAskedAtOnce) {
  listener().OnOpen(100, sql::ChangesFrom::kOutbox);
  coherence_.Await(
      BootClock::now(), hours(1), [] {}, 150);
  EXPECT_EQ(freshened_, 1);
}

TEST_F(CoherenceTest, WhoWaitsIsToldWhenItTakesTooLong) {
  int told = 0;
  coherence_.Await(BootClock::now(), milliseconds(1), [&] { ++told; });
  const auto end = BootClock::now() + milliseconds(1);
  while (BootClock::now() <= end) {
  }
  listener().OnTick(1);
  EXPECT_EQ(told, 1);
}

TEST_F(CoherenceTest, WhoWaitsIsToldWhenNothingIsToldAnyMore) {
  int told = 0;
  coherence_.Await(BootClock::now(), hours(1), [&] { ++told; });
  listener().OnClosed();
  EXPECT_EQ(told, 1);
  coherence_.Await(BootClock::now(), hours(1), [&] { ++told; });
  EXPECT_EQ(told, 2);
}

TEST_F(CoherenceTest, WhatATokenStandsForIsToldByItsPlaceOrAsOfTheCall) {
  const auto call = BootClock::now();
  listener().OnCurrent(call, 50);
  EXPECT_EQ(coherence_.reach(), 50U);
  EXPECT_TRUE(coherence_.Tells(50, call));
  EXPECT_FALSE(coherence_.Tells(50, call + milliseconds(1))) << "it may be invisible still";
  EXPECT_FALSE(coherence_.Tells(51, call)) << "nobody has seen so much";
  listener().OnTick(51);
  EXPECT_TRUE(coherence_.Tells(51, call + hours(1)));
  listener().OnClosed();
  EXPECT_FALSE(coherence_.Tells(51, call));
}

}  // namespace
}  // namespace twi::cache

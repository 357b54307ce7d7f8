#include "cache/cache.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "sql/big_endian.h"

namespace twi::cache {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

/// Entries without changes to look at: what they need is to be young enough.
class CacheTest : public ::testing::Test {
 protected:
  void Keep(Cache& cache, const std::string& request, const std::string& bytes = "answer",
            BootClock::duration ttl = hours(1)) {
    Entry entry;
    entry.statement = this;
    entry.request = request;
    entry.answer.bytes = std::make_shared<const std::string>(bytes);
    entry.began = BootClock::now();
    cache.Keep(std::move(entry), ttl);
  }
  std::string Find(Cache& cache, const std::string& request, seconds later = seconds(0)) {
    const auto now = BootClock::now() + later;
    const auto entry = cache.Find({this, request}, now - hours(1), now, /*unwatched=*/true);
    return entry == nullptr ? "" : *entry->answer.bytes;
  }

  Coherence coherence_;
};

TEST_F(CacheTest, AnswersAreFoundByOperationAndRequest) {
  Cache cache({}, &coherence_);
  Keep(cache, "a", "of a");
  Keep(cache, "", "of nothing");
  EXPECT_EQ(Find(cache, "a"), "of a");
  EXPECT_EQ(Find(cache, ""), "of nothing");
  EXPECT_EQ(Find(cache, "b"), "");
  const int other = 0;
  const auto now = BootClock::now();
  EXPECT_EQ(cache.Find({&other, "a"}, now - hours(1), now, /*unwatched=*/true), nullptr);
}

TEST_F(CacheTest, AnAnswerWhoseChangesAreNotLookedAtIsFoundOnlyByWhoSaysSo) {
  Cache cache({}, &coherence_);
  Keep(cache, "a");
  const auto now = BootClock::now();
  EXPECT_EQ(cache.Find({this, "a"}, now - hours(1), now), nullptr)
      << "a write may have been heard of since";
  EXPECT_EQ(Find(cache, "a"), "answer");
}

TEST_F(CacheTest, AnAnswerOlderThanWishedIsNone) {
  Cache cache({}, &coherence_);
  Keep(cache, "a");
  const auto now = BootClock::now();
  EXPECT_EQ(cache.Find({this, "a"}, now, now, /*unwatched=*/true), nullptr);
  EXPECT_EQ(Find(cache, "a"), "answer") << "it stays for those who wish less";
}

TEST_F(CacheTest, AnAnswersTimeIsALittleLessThanSaid) {
  Cache cache({}, &coherence_);
  Keep(cache, "a", "answer", seconds(100));
  EXPECT_EQ(Find(cache, "a", seconds(85)), "answer");
  EXPECT_EQ(Find(cache, "a", seconds(100)), "");
  EXPECT_EQ(cache.entries(), 0U);
  EXPECT_EQ(cache.statistics().evictions, 1U);
}

TEST_F(CacheTest, TheLeastRecentlyUsedOfAllGoesFirst) {
  Cache cache({.entries = 100}, &coherence_);
  for (int i = 0; i < 100; ++i) Keep(cache, std::to_string(i));
  for (int i = 0; i < 50; ++i) ASSERT_EQ(Find(cache, std::to_string(i)), "answer");
  for (int i = 100; i < 150; ++i) Keep(cache, std::to_string(i));
  for (int i = 0; i < 150; ++i) {
    EXPECT_EQ(Find(cache, std::to_string(i)), i < 50 || i >= 100 ? "answer" : "") << i;
  }
  EXPECT_EQ(cache.entries(), 100U);
  EXPECT_EQ(cache.statistics().evictions, 50U);
}

TEST_F(CacheTest, AsManyAnswersAreKeptAsSaidAndNeverMore) {
  constexpr int kAnswers = 2000;
  Cache cache({.entries = kAnswers}, &coherence_);
  for (int i = 0; i < kAnswers; ++i) Keep(cache, std::to_string(i));
  for (int i = 0; i < kAnswers; ++i) ASSERT_EQ(Find(cache, std::to_string(i)), "answer") << i;
  const size_t bytes = cache.bytes();
  for (int i = 0; i < 50 * kAnswers; ++i) {
    Keep(cache, std::to_string(100'000 + i));
    ASSERT_EQ(cache.entries(), 1U * kAnswers);
  }
  EXPECT_LE(cache.bytes(), bytes + 8U * kAnswers);
}

TEST_F(CacheTest, BytesAreBounded) {
  constexpr size_t kBytes = 1 << 20;
  Cache cache({.entries = 1'000'000, .bytes = kBytes}, &coherence_);
  for (int i = 0; i < 1000; ++i) {
    Keep(cache, std::to_string(i), std::string(10'000, 'x'));
    ASSERT_LE(cache.bytes(), kBytes);
  }
  EXPECT_GT(cache.entries(), 80U);
  Keep(cache, "large", std::string(kBytes / 2, 'x'));
  EXPECT_EQ(Find(cache, "large"), "") << "one answer must not push out all others";
  EXPECT_GT(cache.entries(), 80U);
}

TEST_F(CacheTest, TheNewerAnswerStays) {
  Cache cache({}, &coherence_);
  Entry early;
  early.statement = this;
  early.request = "a";
  early.answer.bytes = std::make_shared<const std::string>("early");
  early.began = BootClock::now();
  Keep(cache, "a", "late");
  cache.Keep(std::move(early), hours(1));
  EXPECT_EQ(Find(cache, "a"), "late");
  EXPECT_EQ(cache.entries(), 1U);
}

TEST_F(CacheTest, WhatIsForgottenCountsAsInvalidated) {
  Cache cache({}, &coherence_);
  for (const char* request : {"a", "b", "c"}) Keep(cache, request);
  EXPECT_EQ(cache.Forget([](const Entry& entry) { return entry.request != "b"; }), 2U);
  EXPECT_EQ(Find(cache, "a"), "");
  EXPECT_EQ(Find(cache, "b"), "answer");
  EXPECT_EQ(cache.statistics().invalidations, 2U);
}

TEST_F(CacheTest, StatisticsHaveTheGuidesMeanings) {
  Cache cache({}, &coherence_);
  EXPECT_EQ(cache.statistics().hit_rate, 0);
  cache.Count(Event::kHit, 3);
  cache.Count(Event::kMiss);
  EXPECT_EQ(cache.statistics().total_requests, 4U);
  EXPECT_EQ(cache.statistics().hit_rate, 75);
  cache.ResetStatistics();
  EXPECT_EQ(cache.statistics().total_requests, 0U);
  EXPECT_EQ(cache.count(Event::kHit), 3U) << "what is read as metrics never falls";
  cache.Count(Event::kHit);
  EXPECT_EQ(cache.statistics().hits, 1U);
}

TEST_F(CacheTest, WhatNobodyAsksForIsSweptWhenItIsExpired) {
  Cache cache({}, &coherence_);
  constexpr int kAnswers = 1000;
  for (int i = 0; i < kAnswers; ++i) {
    Keep(cache, std::to_string(i), "answer", i % 2 == 0 ? BootClock::duration(0) : hours(1));
  }
  ASSERT_EQ(cache.entries(), 1U * kAnswers);
  // Reading moves answers under the sweep, which goes on.
  for (int i = 0; cache.entries() > kAnswers / 2 && i < kAnswers; ++i) {
    cache.Sweep();
    EXPECT_EQ(Find(cache, std::to_string(2 * i % kAnswers + 1)), "answer");
  }
  EXPECT_EQ(cache.entries(), kAnswers / 2U);
  EXPECT_EQ(cache.count(Event::kExpired), kAnswers / 2U);
  for (int i = 0; i < kAnswers; ++i) cache.Sweep();
  EXPECT_EQ(cache.entries(), kAnswers / 2U);
}

TEST_F(CacheTest, ASweepLooksAtAFewOnly) {
  Cache cache({.entries = 1'000'000}, &coherence_);
  constexpr int kAnswers = 10'000;
  for (int i = 0; i < kAnswers; ++i) {
    Keep(cache, std::to_string(i), "answer", BootClock::duration(0));
  }
  cache.Sweep();
  EXPECT_EQ(cache.entries(), kAnswers - 16U * 64);
}

TEST_F(CacheTest, ASweepGoesOnWhereWhatItWouldHaveLookedAtIsGone) {
  Cache cache({.entries = 1'000'000}, &coherence_);
  constexpr int kAnswers = 5000;
  for (int i = 0; i < kAnswers; ++i) Keep(cache, std::to_string(i));
  cache.Sweep();
  EXPECT_EQ(cache.Forget([](const Entry& entry) { return entry.request != "7"; }), kAnswers - 1U);
  for (int i = 0; i < kAnswers; ++i) {
    if (i != 7) Keep(cache, std::to_string(i), "answer", BootClock::duration(0));
  }
  for (int i = 0; cache.entries() > 1 && i < kAnswers; ++i) cache.Sweep();
  EXPECT_EQ(cache.count(Event::kExpired), kAnswers - 1U);
  EXPECT_EQ(Find(cache, "7"), "answer");
}

TEST_F(CacheTest, WhatIsWrongIsSweptAndSaysWhy) {
  Cache cache({}, &coherence_);
  sql::ChangeListener& listener = coherence_;
  listener.OnOpen(100, sql::ChangesFrom::kStream);
  const auto keep = [&](const std::string& request, sql::Oid table) {
    Entry entry;
    entry.statement = this;
    entry.request = request;
    entry.coherent = true;
    entry.basis.generation = coherence_.generation();
    std::string snapshot(4, '\0');
    for (int i = 0; i < 2; ++i) sql::AppendBigEndian<uint64_t>(150, &snapshot);
    entry.basis.snapshot = *sql::Snapshot::Read(snapshot);
    entry.basis.dependences.push_back({TableTag(table)});
    ASSERT_TRUE(coherence_.Admits(&entry.basis));
    cache.Keep(std::move(entry), hours(1));
  };
  keep("a", 1);
  keep("b", 2);
  sql::Changes changes;
  changes.transaction = 200;
  changes.tables[1].AddAll();
  listener.OnCommit(changes);
  cache.Sweep();
  EXPECT_EQ(cache.entries(), 1U);
  EXPECT_EQ(cache.count(Event::kChanged), 1U);
  listener.OnSchemaChange();
  cache.Sweep();
  EXPECT_EQ(cache.entries(), 0U);
  EXPECT_EQ(cache.count(Event::kGeneration), 1U);
  EXPECT_EQ(cache.statistics().invalidations, 2U);
}

}  // namespace
}  // namespace twi::cache

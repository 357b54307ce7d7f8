#include "cache/cache.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

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
    entry.operation = this;
    entry.request = request;
    entry.answer.bytes = std::make_shared<const std::string>(bytes);
    entry.began = BootClock::now();
    cache.Keep(std::move(entry), ttl);
  }
  std::string Find(Cache& cache, const std::string& request, seconds later = seconds(0)) {
    const auto now = BootClock::now() + later;
    const auto entry = cache.Find({this, request}, now - hours(1), now);
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
  EXPECT_EQ(cache.Find({&other, "a"}, now - hours(1), now), nullptr);
}

TEST_F(CacheTest, AnAnswerOlderThanWishedIsNone) {
  Cache cache({}, &coherence_);
  Keep(cache, "a");
  const auto now = BootClock::now();
  EXPECT_EQ(cache.Find({this, "a"}, now, now), nullptr);
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
  early.operation = this;
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
  for (int i = 0; i < 3; ++i) cache.CountHit();
  cache.CountMiss();
  EXPECT_EQ(cache.statistics().total_requests, 4U);
  EXPECT_EQ(cache.statistics().hit_rate, 75);
  cache.ResetStatistics();
  EXPECT_EQ(cache.statistics().total_requests, 0U);
}

}  // namespace
}  // namespace twi::cache

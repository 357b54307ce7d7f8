#include "cache/tag_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "sql/big_endian.h"

namespace twi::cache {
namespace {

sql::Snapshot Before(uint64_t next) {
  std::string bytes(4, '\0');
  sql::AppendBigEndian(next, &bytes);
  sql::AppendBigEndian(next, &bytes);
  return *sql::Snapshot::Read(bytes);
}

class TagTableTest : public ::testing::Test {
 protected:
  bool Seen(Tag tag, uint64_t next) {
    uint64_t sequence = 0;
    return tags_.Seen(tag, Before(next), &sequence);
  }

  TagTable tags_;
};

TEST_F(TagTableTest, WhatNobodyChangedIsSeen) { EXPECT_TRUE(Seen(1, 5)); }

TEST_F(TagTableTest, AChangeIsSeenByThoseWhoSeeItsTransaction) {
  tags_.Push(1, 5);
  EXPECT_FALSE(Seen(1, 5));
  EXPECT_TRUE(Seen(1, 6));
  EXPECT_TRUE(Seen(2, 5));
}

TEST_F(TagTableTest, OneTransactionIsOneChange) {
  tags_.Push(1, 5);
  const uint64_t sequence = tags_.Sequence(1);
  tags_.Push(1, 5);
  EXPECT_EQ(tags_.Sequence(1), sequence);
}

TEST_F(TagTableTest, WhatHasLeftTheRingIsSeenOnlyBySnapshotsAfterIt) {
  // Not in the order of their numbers: transactions commit in any.
  for (uint64_t xid : {50, 10, 20, 30, 40}) tags_.Push(1, xid);
  EXPECT_FALSE(Seen(1, 50));
  EXPECT_TRUE(Seen(1, 51));
  for (uint64_t xid : {11, 12, 13, 14}) tags_.Push(1, xid);
  EXPECT_FALSE(Seen(1, 50)) << "50 is forgotten, so all up to it counts as unseen";
  EXPECT_TRUE(Seen(1, 51));
}

TEST_F(TagTableTest, AClearedTableHasSeenNothing) {
  for (uint64_t xid = 1; xid < 10; ++xid) tags_.Push(1, xid);
  const uint64_t sequence = tags_.Sequence(1);
  tags_.Clear();
  EXPECT_TRUE(Seen(1, 1));
  EXPECT_NE(tags_.Sequence(1), sequence);
}

// A reader that finds the ring in the middle of a push must not miss what leaves it.
TEST_F(TagTableTest, NoPushIsMissedMeanwhile) {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> pushed{0};
  std::thread pusher([&] {
    for (uint64_t xid = 1; !stop; ++xid) {
      tags_.Push(1, xid);
      pushed.store(xid, std::memory_order_release);
    }
  });
  for (int asked = 0; asked < 50'000;) {
    const uint64_t known = pushed.load(std::memory_order_acquire);
    if (known == 0) continue;
    ++asked;
    EXPECT_FALSE(Seen(1, known)) << "transaction " << known << " was pushed and is not visible";
  }
  stop = true;
  pusher.join();
}

}  // namespace
}  // namespace twi::cache

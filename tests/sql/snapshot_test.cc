#include "sql/snapshot.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "sql/big_endian.h"

namespace twi::sql {
namespace {

std::string Binary(uint64_t oldest, uint64_t next, std::initializer_list<uint64_t> running) {
  std::string bytes;
  AppendBigEndian(running.size(), &bytes);
  bytes.erase(0, 4);
  AppendBigEndian(oldest, &bytes);
  AppendBigEndian(next, &bytes);
  for (uint64_t xid : running) AppendBigEndian(xid, &bytes);
  return bytes;
}

TEST(SnapshotTest, SeesWhatHadEndedBefore) {
  const auto snapshot = Snapshot::Read(Binary(10, 20, {10, 15}));
  ASSERT_TRUE(snapshot);
  EXPECT_TRUE(snapshot->Sees(9));
  EXPECT_FALSE(snapshot->Sees(10));
  EXPECT_TRUE(snapshot->Sees(11));
  EXPECT_FALSE(snapshot->Sees(15));
  EXPECT_TRUE(snapshot->Sees(19));
  EXPECT_FALSE(snapshot->Sees(20));
  EXPECT_EQ(snapshot->oldest(), 10U);
}

TEST(SnapshotTest, NumbersBeyond32BitsCount) {
  const uint64_t epoch = uint64_t{7} << 32;
  const auto snapshot = Snapshot::Read(Binary(epoch + 3, epoch + 4, {epoch + 3}));
  ASSERT_TRUE(snapshot);
  EXPECT_TRUE(snapshot->Sees(4));
  EXPECT_TRUE(snapshot->Sees(epoch + 2));
  EXPECT_FALSE(snapshot->Sees(epoch + 3));
}

TEST(SnapshotTest, OfVeryManyRunningNoneOfTheirTimeIsSeen) {
  std::string bytes;
  AppendBigEndian<uint64_t>(65, &bytes);
  bytes.erase(0, 4);
  AppendBigEndian<uint64_t>(100, &bytes);
  AppendBigEndian<uint64_t>(1000, &bytes);
  for (uint64_t i = 0; i < 65; ++i) AppendBigEndian(100 + i, &bytes);
  const auto snapshot = Snapshot::Read(bytes);
  ASSERT_TRUE(snapshot);
  EXPECT_TRUE(snapshot->Sees(99));
  EXPECT_FALSE(snapshot->Sees(500));
}

TEST(SnapshotTest, WhatIsNoSnapshotIsRefused) {
  const std::string whole = Binary(10, 20, {15});
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Snapshot::Read(whole.substr(0, size))) << size;
  }
  EXPECT_FALSE(Snapshot::Read(whole + "x"));
  EXPECT_FALSE(Snapshot::Read(Binary(20, 10, {})));
}

}  // namespace
}  // namespace twi::sql

// Kept answers on the whole way: what is served from the cache, and that it is never stale.

#include "server/caching.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/wire.h"
#include "tests/support/caching_fixture.h"
#include "twi/data/v1/cache.pb.h"

namespace twi::server {
namespace {

TEST_P(CachingTest, ASecondReadIsAHit) {
  const Got got = Kept("Get", 1);
  EXPECT_TRUE(got.status.ok());
  EXPECT_EQ(got.value, 1);
  EXPECT_NE(got.age, "");
  EXPECT_EQ(got.token, "") << "nobody asked";
  EXPECT_EQ(Read("Get", 2).cache, "miss") << "another request";
}

TEST_P(CachingTest, AWriteThroughTheServiceIsInTheNextAnswer) {
  for (int i = 1; i <= 200; ++i) {
    Kept("Get", 3);
    ASSERT_TRUE(Put(3, 1000 + i).status.ok());
    ASSERT_EQ(Read("Get", 3).value, 1000 + i);
  }
}

TEST_P(CachingTest, AWritePastTheServiceIsInAStrictAnswer) {
  for (int i = 1; i <= 100; ++i) {
    Kept("Get", 4);
    Run(absl::StrCat("update number set value = ", 1000 + i, " where id = 4"));
    ASSERT_EQ(Read("Get", 4, "strict").value, 1000 + i);
  }
}

TEST_P(CachingTest, AWritePastTheServiceIsInAnyAnswerAfterTheBound) {
  for (int i = 1; i <= 20; ++i) {
    Kept("Get", 5);
    Run(absl::StrCat("update number set value = ", 1000 + i, " where id = 5"));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ASSERT_EQ(Read("Get", 5).value, 1000 + i);
  }
}

TEST_P(CachingTest, WhoReadsBetweenAWriteAndItsCommitLeavesNothingOldBehind) {
  for (int i = 1; i <= 20; ++i) {
    const int64_t before = Kept("Get", 12).value;
    testing::Transaction writer(
        served->database(), absl::StrCat("update number set value = ", 1000 + i, " where id = 12"));
    UntilTold();
    for (const char* how : {"", "strict", "bypass"}) ASSERT_EQ(Read("Get", 12, how).value, before);
    writer.Commit();
    ASSERT_EQ(Read("Get", 12, "strict").value, 1000 + i);
    ASSERT_EQ(Kept("Get", 12).value, 1000 + i);
  }
}

TEST_P(CachingTest, AnAnswerIsNobodysToChange) {
  using Bytes = decltype(cache::Answer::bytes);
  static_assert(std::is_same_v<Bytes, std::shared_ptr<const std::string>>);
  Kept("Get", 13);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Read("Get", 13, "stale=60").value, 13);
}

TEST_P(CachingTest, AStrictReadThatNothingHasChangedIsAHit) {
  Kept("Get", 6);
  Until([] { return Read("Get", 6, "strict").cache == "hit"; });
}

TEST_P(CachingTest, WhoBypassesReadsTheDatabase) {
  Kept("Get", 7);
  const uint64_t before = served->caching()->cache().statistics().total_requests;
  EXPECT_EQ(Read("Get", 7, "bypass").cache, "bypass");
  EXPECT_EQ(served->caching()->cache().statistics().total_requests, before);
}

TEST_P(CachingTest, ATokenOfAWriteIsGoodForAnyRead) {
  Kept("Get", 8);
  const Got written = Put(8, 1001, "bounded");
  EXPECT_NE(written.token, "");
  EXPECT_EQ(Read("Get", 8, "session=" + written.token).value, 1001);
  // So it is for reads that find an answer.
  Until([&] { return Read("Get", 8, "session=" + written.token).cache == "hit"; });
  // What the cache has not heard of yet is read from the database.
  EXPECT_EQ(Read("Get", 8, "session=ffffffffffffff").cache, "miss");
}

TEST_P(CachingTest, ReadsAreCountedByWhereTheirAnswersCameFrom) {
  const auto count = [](const std::string& result, const std::string& reason) {
    const std::string page = served->metrics().Page();
    const std::string series =
        absl::StrCat(R"(twi_data_cache_requests_total{operation="CachingService/Get",reason=")",
                     reason, R"(",result=")", result, R"("} )");
    const size_t at = page.find(series);
    return at == page.npos ? 0 : std::stoi(page.substr(at + series.size()));
  };
  const int hits = count("hit", "fresh");
  const int misses = count("miss", "absent");
  const int stale = count("hit", "stale");
  const int bypassed = count("bypass", "asked");
  const int too_old = count("miss", "too_old");
  Kept("Get", 9);
  EXPECT_EQ(count("hit", "fresh"), hits + 1);
  EXPECT_GT(count("miss", "absent"), misses);
  EXPECT_EQ(Read("Get", 9, "stale=60").cache, "hit");
  EXPECT_EQ(count("hit", "stale"), stale + 1);
  EXPECT_EQ(Read("Get", 9, "bypass").cache, "bypass");
  EXPECT_EQ(count("bypass", "asked"), bypassed + 1);
  EXPECT_EQ(Read("Get", 9, "session=ffffffffffffff").cache, "miss");
  EXPECT_EQ(count("miss", "too_old"), too_old + 1);
}

TEST_P(CachingTest, WhatNobodyAsksForIsGivenUpInTheBackground) {
  Kept("Get", 21);
  EXPECT_EQ(served->caching()->cache().entries(), 1U);
  Run("update number set value = 0 where id = 21");
  Until([] { return served->caching()->cache().entries() == 0; });
}

TEST_P(CachingTest, AWrongFreshnessIsRefused) {
  for (const char* wrong : {"fresh", "stale=", "stale=-1", "stale=x", "session=", "session=xyz",
                            "strict ", "stale=99999999"}) {
    const Got got = Read("Get", 1, wrong);
    EXPECT_EQ(got.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << wrong;
    EXPECT_EQ(testing::DetailsOf(got.status).info.reason(), "FIELD_INVALID");
  }
}

TEST_P(CachingTest, ThatThereIsNoRowIsKeptToo) {
  const Got none = Kept("Get", 5000);
  EXPECT_EQ(none.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(testing::DetailsOf(none.status).info.reason(), "ROW_NOT_FOUND");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Read("Get", 5000, "stale=60").cache, "hit");
  Run("insert into number values (5000, 1, 5)");
  EXPECT_EQ(Read("Get", 5000, "strict").value, 5);
  Run("delete from number where id = 5000");
}

TEST_P(CachingTest, OtherFailuresAreNotKept) {
  EXPECT_EQ(Read("Sum", 1).status.error_code(), grpc::StatusCode::OK);
  Run("alter table number rename to gone");
  EXPECT_FALSE(Read("Get", 90, "strict").status.ok());
  Run("alter table gone rename to number");
  EXPECT_TRUE(Read("Get", 90, "strict").status.ok());
}

TEST_P(CachingTest, AViewsAnswerFollowsItsTable) {
  const int64_t before = Kept("Total", 0).value;
  Run("update number set value = value + 1 where id = 10");
  EXPECT_EQ(Read("Total", 0, "strict").value, before + 1);
}

TEST_P(CachingTest, AViewThatReadsSomethingElseIsAnotherView) {
  Kept("Total", 1);
  Run("create table other (value bigint primary key); insert into other values (7);");
  Prepare();
  Run("create or replace view total as select 0::bigint as id, sum(value)::bigint as value from "
      "other");
  EXPECT_EQ(Read("Total", 1, "strict").value, 7);
  Until([] { return Read("Total", 1).cache == "hit"; });
  Run("insert into other values (8)");
  EXPECT_EQ(Read("Total", 1, "strict").value, 15);
  Run("create or replace view total as select 0::bigint as id, sum(value)::bigint as value from "
      "number;"
      "drop table other");
}

TEST_P(CachingTest, WhatNoChangeIsToldOfIsNeverKept) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Read("Untold", 1).cache, "miss");
}

TEST_P(CachingTest, ATableThatIsToldOfNoMoreIsNotKept) {
  Kept("Sum", 2);
  Run(GetParam() == sql::ChangesFrom::kOutbox ? "alter table number disable trigger twi_data_update"
                                              : "alter publication twi_data drop table number");
  EXPECT_EQ(Read("Sum", 2, "strict").cache, "miss");
  Run("update number set value = value + 1 where id = 2");
  Until([] { return served->caching()->DependenciesOf(Of("Sum").statement()) != nullptr; });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Read("Sum", 2).cache, "miss");
  Prepare();
  Kept("Sum", 2);
}

TEST_P(CachingTest, TruncatedAndRefilledIsSeen) {
  Kept("Sum", 3);
  Run("begin; create temp table saved as table number; truncate number;"
      "insert into number select id, team, value * 2 from saved; commit; drop table saved");
  const std::string sum = served->database().Value("select sum(value) from number where team = 3");
  EXPECT_EQ(absl::StrCat(Read("Sum", 3, "strict").value), sum);
}

TEST_P(CachingTest, ReadersOfOneKeyShareOneStatement) {
  constexpr int kReaders = 64;
  std::vector<std::future<Got>> reads;
  for (int i = 0; i < kReaders; ++i) {
    reads.push_back(std::async(std::launch::async, [] { return Read("Sum", 4); }));
  }
  std::map<std::string, int> how;
  for (auto& read : reads) ++how[read.get().cache];
  EXPECT_EQ(how["miss"] + how["join"] + how["hit"], kReaders);
  const cache::Statistics numbers = served->caching()->cache().statistics();
  EXPECT_EQ(numbers.total_requests, static_cast<uint64_t>(kReaders));
  EXPECT_EQ(numbers.misses, static_cast<uint64_t>(how["miss"]));
}

/// The value of a series of /metrics of the method Sum; 0 when it is not there.
int OfSum(const testing::RunningServer& server, const std::string& series) {
  const std::string page = server.metrics().Page();
  const size_t at = page.find("\n" + series + " ");
  return at == page.npos ? 0 : std::stoi(page.substr(at + series.size() + 2));
}
int SumsUnderWay(const testing::RunningServer& server) {
  return OfSum(server, R"(grpc_server_in_flight{grpc_method="Sum",)"
                       R"(grpc_service="twi.test.v1.CachingService"})");
}
int SumsRead(const testing::RunningServer& server) {
  int count = 0;
  for (const char* mode : {"batch", "solo"}) {
    count += OfSum(server, absl::StrCat(R"(twi_data_db_query_seconds_count{mode=")", mode,
                                        R"(",operation="CachingService/Sum"})"));
  }
  return count;
}

TEST_P(CachingTest, ManyCallersOfOneColdKeyAreOneQuery) {
  constexpr size_t kCallers = 256;
  struct Caller {
    grpc::ClientContext context;
    grpc::ByteBuffer response;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  };
  Kept("Sum", 999);
  // Who comes a second after a statement began does not wait for it. Where the machine lost so much
  // time nothing is shown, and another key is tried.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (int64_t id = 1000;; ++id) {
    served->caching()->cache().ResetStatistics();
    const int read_before = SumsRead(*served);
    testing::Transaction gate(served->database(), "lock table number");
    NumberRequest request;
    request.set_id(id);
    std::vector<Caller> callers(kCallers);
    grpc::CompletionQueue queue;
    const auto begin = std::chrono::steady_clock::now();
    for (Caller& caller : callers) {
      caller.reader =
          served->stub().PrepareUnaryCall(&caller.context, "/twi.test.v1.CachingService/Sum",
                                          Buffer(request.SerializeAsString()), &queue);
      caller.reader->StartCall();
      caller.reader->Finish(&caller.response, &caller.status, &caller);
    }
    Until([] { return SumsUnderWay(*served) == kCallers; });
    // The server has one thread: when it answers this, all of them wait.
    served->Call("/twi.data.v1.CacheService/GetCacheStats", data::v1::GetCacheStatsRequest(),
                 nullptr);
    const bool in_time = std::chrono::steady_clock::now() - begin < std::chrono::seconds(1);
    UntilTold();
    gate.End();
    std::map<std::string, size_t> how;
    for (size_t i = 0; i < kCallers; ++i) {
      void* tag = nullptr;
      bool ok = false;
      queue.Next(&tag, &ok);
      const Caller& caller = *static_cast<Caller*>(tag);
      ASSERT_TRUE(caller.status.ok()) << caller.status.error_message();
      const auto& trailers = caller.context.GetServerTrailingMetadata();
      const grpc::string_ref cache = trailers.find("x-cache")->second;
      ++how[{cache.data(), cache.size()}];
    }
    if (in_time) {
      EXPECT_EQ(SumsRead(*served) - read_before, 1);
      EXPECT_EQ(how, (std::map<std::string, size_t>{{"miss", 1}, {"join", kCallers - 1}}));
      EXPECT_EQ(served->caching()->cache().statistics().total_requests, kCallers);
      return;
    }
    ASSERT_LT(std::chrono::steady_clock::now(), give_up) << "too slow a machine";
  }
}

TEST_P(CachingTest, WithoutChangesToldNothingIsServedButToThoseWhoAskForStaleness) {
  Kept("Get", 20);
  Run("select pg_terminate_backend(pid) from pg_stat_activity"
      " where datname = current_database() and application_name = 'twi-data changes';"
      "update number set value = value + 1 where id = 20");
  const Got now = Read("Get", 20, "strict");
  EXPECT_EQ(absl::StrCat(now.value),
            served->database().Value("select value from number where id = 20"));
  UntilOpen();
  Kept("Get", 20);
  const Got stale = Read("Get", 20, "stale=60");
  EXPECT_EQ(stale.cache, "hit");
}

INSTANTIATE_TEST_SUITE_P(Ways, CachingTest, testing::kWays, testing::NameOfWay);

}  // namespace
}  // namespace twi::server

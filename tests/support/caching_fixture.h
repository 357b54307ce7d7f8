#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "server/caching.h"
#include "tests/support/follow.h"
#include "tests/support/running_server.h"
#include "twi/test/v1/caching.pb.h"

namespace twi::server {

using test::v1::NumberRequest;
using test::v1::NumberRow;

inline constexpr char kTables[] = R"(
create table number (id bigint primary key, team bigint not null, value bigint not null);
create view total as select 0::bigint as id, sum(value)::bigint as value from number;
create unlogged table untold (id bigint primary key, value bigint not null);
create table team (id bigint primary key);
create table score (team bigint references team on delete cascade on update cascade, id bigint,
  value bigint not null, primary key (team, id));
insert into number select n, n % 10, n from generate_series(1, 100) n;
insert into team select generate_series(1, 20);
insert into score select t, n, 1 from generate_series(1, 20) t, generate_series(1, 3) n;
insert into untold values (1, 1);
create function also() returns trigger language plpgsql as $$ begin
  update score set value = 5 where team = 9; return null; end $$;
create trigger also after update on number for each row when (new.id = 100)
  execute function also();
)";

inline constexpr char kStanzas[] = R"(
-- name: Get
select n.id, n.value from number n where n.id = :id;

-- name: Sum
select :id::bigint as id, coalesce(sum(n.value), 0)::bigint as value from number n where n.team = :id;

-- name: Score
select :id::bigint as id, coalesce(sum(s.value), 0)::bigint as value
from team t
join score s on s.team = :id
where t.id = :id;

-- name: Often
select :first::bigint as id, count(*) as value
from number a, number b, team c, team d, score e, score f
where a.id = :first and b.id = :second and c.id = :first and d.id = :second and e.team = :first
  and f.team = :second;

-- name: Total
select t.id, t.value from total t where :id::bigint = :id limit 1;

-- name: Untold
select u.id, u.value from untold u where u.id = :id;

-- name: Put
update number set value = :value where id = :id
returning id, value;
)";

/// A server that keeps answers, and calls of its methods: one for each way to follow changes.
class CachingTest : public ::testing::TestWithParam<sql::ChangesFrom> {
 protected:
  static void TearDownTestSuite() { servers.clear(); }

  CachingTest() {
    std::unique_ptr<testing::RunningServer>& server = servers[GetParam()];
    if (server == nullptr) {
      // What a test holds up for long is nothing that the next one hears of.
      const sql::PoolOptions pool{.max_wait = absl::InfiniteDuration()};
      server = std::make_unique<testing::RunningServer>(
          kTables, std::vector<EmbeddedText>{{"caching.sql", kStanzas}},
          std::vector{NumberRow::descriptor()->file()->FindServiceByName("CachingService")},
          Pipeline::Options(), std::vector<Service*>(), pool, /*caching=*/true, GetParam());
    }
    served = server.get();
    UntilOpen();
    served->caching()->cache().Forget([](const cache::Entry&) { return true; });
    served->caching()->cache().ResetStatistics();
  }

  static void UntilOpen() {
    Until([] {
      return served->caching()->follows() &&
             served->caching()->DependenciesOf(Of("Get").statement()) != nullptr &&
             served->caching()->coherence().current_as_of() > sql::BootClock::time_point::min();
    });
  }

  static const repositories::Operation& Of(const std::string& name) {
    return *served->operation("CachingService/" + name);
  }

  template <typename Condition>
  static void Until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "waited in vain";
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  struct Got {
    grpc::Status status;
    int64_t value = 0;
    std::string cache;
    std::string token;
    std::string age;
  };

  static Got Call(const std::string& method, const google::protobuf::Message& request,
                  const std::string& freshness = "") {
    grpc::ClientContext context;
    if (!freshness.empty()) context.AddMetadata("x-freshness", freshness);
    NumberRow row;
    Got got;
    got.status = served->Call("/twi.test.v1.CachingService/" + method, request, &row, &context);
    got.value = row.value();
    const auto& trailers = context.GetServerTrailingMetadata();
    const auto trailer = [&](const char* name) {
      const auto found = trailers.find(name);
      return found == trailers.end() ? std::string()
                                     : std::string(found->second.data(), found->second.size());
    };
    got.cache = trailer("x-cache");
    got.token = trailer("x-freshness-token");
    got.age = trailer("x-age-ms");
    return got;
  }
  static Got Read(const std::string& method, int64_t id, const std::string& freshness = "") {
    NumberRequest request;
    request.set_id(id);
    return Call(method, request, freshness);
  }
  static Got Put(int64_t id, int64_t value, const std::string& freshness = "") {
    NumberRow row;
    row.set_id(id);
    row.set_value(value);
    return Call("Put", row, freshness);
  }
  static void Run(const std::string& sql) { served->database().Run(sql); }

  /// Until the answer is one that is kept: a transaction of somebody else's may keep one out.
  static Got Kept(const std::string& method, int64_t id) {
    Got got;
    Until([&] {
      got = Read(method, id);
      return got.cache == "hit";
    });
    return got;
  }

  /// Until all that was done before is told.
  static void UntilTold() {
    const auto since = sql::BootClock::now();
    Until([&] { return served->caching()->coherence().current_as_of() >= since; });
  }
  /// Whether an answer is kept that is not known to be wrong, however recent.
  static bool IsKept(const std::string& method, int64_t id) {
    return Read(method, id, "stale=60").cache == "hit";
  }

  /// Has tables followed that are new or changed.
  static void Prepare() { testing::PrepareToFollow(served->database().dsn(), GetParam()); }

  inline static std::map<sql::ChangesFrom, std::unique_ptr<testing::RunningServer>> servers;
  inline static testing::RunningServer* served = nullptr;
};

}  // namespace twi::server

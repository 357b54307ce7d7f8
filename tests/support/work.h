#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/support/running_server.h"
#include "twi/test/v1/work.pb.h"

namespace twi::testing {

// Gates are rows that a test inserts. Who waits for one holds its advisory lock meanwhile, so that
// the test can see it. An advisory lock to wait for would not do: lanes wait for none for long.
inline constexpr char kWorkTables[] = R"(
create table gate (id bigint primary key);
create table work (id bigint primary key, count bigint not null, gated bool not null default false,
                   runs bigint not null default 1);
create function pass_gate(which bigint) returns void language plpgsql as $$
begin
  perform pg_try_advisory_xact_lock_shared(which);
  while not exists (select from gate where id = which) loop perform pg_sleep(0.005); end loop;
end $$;
create function pass_at_commit() returns trigger language plpgsql as $$
begin
  perform pass_gate(new.id);
  return null;
end $$;
create constraint trigger gated after insert or update on work deferrable initially deferred
for each row when (new.gated) execute function pass_at_commit();
)";

inline constexpr char kWorkStanzas[] = R"(
-- name: Get
select w.id, w.count from work w where w.id = :id;

-- name: Sleep
select :id::bigint as id, 0::bigint as count from pg_sleep(:seconds) limit 1;

-- name: Pass
select :id::bigint as id, 0::bigint as count from pass_gate(:id) limit 1;

-- name: Wait
select :id::bigint as id, 0::bigint as count from pass_gate(:id) limit 1;

-- name: Hold
insert into work (id, count) select :id, 1 from pass_gate(:id) returning id, count;

-- name: Add
insert into work (id, count, gated) values (:id, 1, :gated)
on conflict (id) do update set count = work.count + 1, gated = excluded.gated
returning id, count;

-- name: Set
insert into work (id, count, gated) values (:id, 1, :gated)
on conflict (id) do update set count = 1, gated = excluded.gated, runs = work.runs + 1
returning id, count;
)";

/// A server of the operations of WorkService.
class WorkTest : public ::testing::Test {
 protected:
  explicit WorkTest(const server::Pipeline::Options& options = {},
                    const std::vector<server::Service*>& services = {},
                    const sql::PoolOptions& pool = {})
      : server_(kWorkTables, {{"work.sql", kWorkStanzas}},
                {test::v1::RowRequest::descriptor()->file()->FindServiceByName("WorkService")},
                options, services, pool) {}

  static std::string Path(const std::string& method) {
    return "/twi.test.v1.WorkService/" + method;
  }
  static test::v1::RowRequest Row(int64_t id) {
    test::v1::RowRequest request;
    request.set_id(id);
    return request;
  }
  static test::v1::WriteRequest Write(int64_t id, bool gated = false) {
    test::v1::WriteRequest request;
    request.set_id(id);
    request.set_gated(gated);
    return request;
  }

  grpc::Status Call(const std::string& method, const google::protobuf::Message& request,
                    std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    return server_.Call(Path(method), request, nullptr, &context);
  }
  template <typename Request>
  std::future<grpc::Status> Begin(const std::string& method, Request request,
                                  std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
    return std::async(std::launch::async, [=, this] { return Call(method, request, timeout); });
  }

  void Open(int64_t gate) {
    server_.database().Run(absl::StrCat("insert into gate values (", gate, ")"));
  }
  /// Until somebody waits for the gate; the backend's process id.
  std::string UntilHeld(int64_t gate) {
    std::string pid;
    Until([&] {
      pid = server_.database().Value(absl::StrCat(
          "select coalesce(max(pid), 0) from pg_locks where locktype = 'advisory' and objid = ",
          gate,
          " and database = (select oid from pg_database where datname = current_database())"));
      return pid != "0";
    });
    return pid;
  }
  void Kill(const std::string& pid) {
    server_.database().Run("select pg_terminate_backend(" + pid + ", 60000)");
  }

  /// The value of a series of /metrics; 0 when it is not there.
  double Metric(const std::string& series) {
    const std::string page = server_.metrics().Page();
    const size_t at = page.find("\n" + series + " ");
    double value = 0;
    if (at == page.npos) return 0;
    const size_t begin = at + series.size() + 2;
    EXPECT_TRUE(absl::SimpleAtod(page.substr(begin, page.find('\n', begin) - begin), &value));
    return value;
  }
  /// How many calls of a method have ended with a code.
  double Ended(const std::string& method, const std::string& code) {
    return Metric(absl::StrCat("grpc_server_handled_total{grpc_code=\"", code, "\",grpc_method=\"",
                               method,
                               "\",grpc_service=\"twi.test.v1.WorkService\",grpc_type=\"unary\"}"));
  }
  /// How many calls of it have begun and not ended.
  double InFlight(const std::string& method) {
    return Metric(absl::StrCat("grpc_server_in_flight{grpc_method=\"", method,
                               "\",grpc_service=\"twi.test.v1.WorkService\"}"));
  }
  /// How many statements of it were run to their end.
  double Statements(const std::string& method) {
    double count = 0;
    for (const char* mode : {"batch", "solo"}) {
      count += Metric(absl::StrCat("twi_data_db_query_seconds_count{mode=\"", mode,
                                   "\",operation=\"WorkService/", method, "\"}"));
    }
    return count;
  }

  template <typename Condition>
  void Until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "waited in vain";
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  RunningServer server_;
};

}  // namespace twi::testing

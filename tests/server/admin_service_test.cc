// What an administrator sees of a server and its database, and what he ends.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <ctime>
#include <memory>
#include <string>
#include <thread>

#include "google/protobuf/empty.pb.h"
#include "google/protobuf/util/time_util.h"
#include "server/log.h"
#include "tests/support/running_server.h"
#include "twi/data/v1/admin.pb.h"
#include "twi/data/v1/quotes.pb.h"

namespace twi::server {
namespace {

using namespace data::v1;  // NOLINT(google-build-using-namespace): all that it has is asked for.
using google::protobuf::util::TimeUtil;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class AdminServiceTest : public ::testing::Test {
 protected:
  explicit AdminServiceTest(std::chrono::milliseconds slow = std::chrono::milliseconds(500))
      : server_({}, kRepositories, DataServices(), {}, {}, {}, false, sql::ChangesFrom::kStream,
                nullptr, slow) {}

  grpc::Status Call(const std::string& method, const google::protobuf::Message& request,
                    google::protobuf::Message* response) {
    return server_.Call("/twi.data.v1." + method, request, response);
  }
  template <typename Response>
  Response Ask(const std::string& method, const google::protobuf::Message& request) {
    Response response;
    const grpc::Status status = Call("AdminService/" + method, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  /// The only statement of an application, as soon as there is one and it waits for that.
  RunningStatement Await(const std::string& application, const std::string& words,
                         const std::string& wait_event) {
    ListRunningStatementsRequest request;
    request.set_application_name(application);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < end) {
      const auto list = Ask<ListRunningStatementsResponse>("ListRunningStatements", request);
      for (const RunningStatement& statement : list.statements()) {
        if (statement.query().find(words) != std::string::npos &&
            statement.wait_event() == wait_event) {
          return statement;
        }
      }
    }
    ADD_FAILURE() << "nobody runs " << words;
    return {};
  }

  /// Whether there was something to end.
  bool Cancel(const RunningStatement& statement, bool terminate = false) {
    CancelStatementRequest request;
    request.set_pid(statement.pid());
    *request.mutable_started_at() = statement.started_at();
    request.set_terminate(terminate);
    return Ask<CancelStatementResponse>("CancelStatement", request).signalled();
  }

  testing::RunningServer server_;
};

TEST_F(AdminServiceTest, AStatementThatWasSeenIsCancelled) {
  const std::unique_ptr<PGconn, void (*)(PGconn*)> somebody(
      PQconnectdb((server_.database().dsn() + " application_name=somebody").c_str()), PQfinish);
  ASSERT_EQ(PQstatus(somebody.get()), CONNECTION_OK);
  const std::string text = "select pg_sleep(600) -- " + std::string(2000, 'x');
  PQsendQuery(somebody.get(), text.c_str());
  RunningStatement seen = Await("somebody", "pg_sleep", "Timeout/PgSleep");
  EXPECT_EQ(seen.pid(), PQbackendPID(somebody.get()));
  EXPECT_EQ(seen.query(), text.substr(0, 1000));
  EXPECT_EQ(seen.operation(), "");
  EXPECT_NE(seen.user_name(), "");
  EXPECT_GE(seen.started_at(), seen.connected_at());

  RunningStatement before = seen;
  before.mutable_started_at()->set_seconds(seen.started_at().seconds() - 1);
  EXPECT_FALSE(Cancel(before));
  EXPECT_FALSE(Cancel(before, /*terminate=*/true));
  EXPECT_TRUE(Cancel(seen));
  const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQgetResult(somebody.get()), PQclear);
  EXPECT_STREQ(PQresultErrorField(result.get(), PG_DIAG_SQLSTATE), "57014");
  EXPECT_EQ(PQgetResult(somebody.get()), nullptr);
  // It has ended, and its connection is at rest.
  EXPECT_FALSE(Cancel(seen));

  PQsendQuery(somebody.get(), "select pg_sleep(600)");
  seen = Await("somebody", "pg_sleep", "Timeout/PgSleep");
  EXPECT_TRUE(Cancel(seen, /*terminate=*/true));
  while (PGresult* last = PQgetResult(somebody.get())) PQclear(last);
  EXPECT_EQ(PQstatus(somebody.get()), CONNECTION_BAD);
}

TEST_F(AdminServiceTest, AnOperationIsKnownByItsName) {
  testing::Transaction somebody(server_.database(),
                                "set local application_name = 'locker'; lock table quotes");
  CountQuotesResponse counted;
  std::thread caller(
      [&] { EXPECT_TRUE(Call("QuotesService/CountQuotes", CountQuotesRequest(), &counted).ok()); });
  const RunningStatement seen = Await("twi-data", "quotes", "Lock/relation");
  EXPECT_EQ(seen.operation(), "QuotesService/CountQuotes");
  const std::string locker = server_.database().Value(
      "select pid from pg_stat_activity where application_name = 'locker' and datname = "
      "current_database()");
  EXPECT_THAT(seen.blocked_by(), ElementsAre(std::stoi(locker)));
  somebody.End();
  caller.join();
}

TEST_F(AdminServiceTest, MigrationsAreTold) {
  const auto at_rest =
      Ask<GetMigrationStatusResponse>("GetMigrationStatus", GetMigrationStatusRequest());
  const int latest = at_rest.latest();
  ASSERT_GT(latest, 2);
  EXPECT_EQ(at_rest.current(), latest);
  ASSERT_EQ(at_rest.migrations_size(), latest);
  for (const MigrationStatus& migration : at_rest.migrations()) {
    EXPECT_EQ(migration.state(), MigrationStatus::STATE_APPLIED);
    EXPECT_NE(migration.checksum(), "");
    EXPECT_TRUE(migration.has_applied_at());
    EXPECT_TRUE(migration.has_duration());
  }
  EXPECT_EQ(at_rest.migrations(0).name(), "0001_quotes");

  server_.database().Run("delete from twi_data_migrations where number = " +
                         std::to_string(latest));
  server_.database().Run("update twi_data_migrations set checksum = 'other' where number = 1");
  const auto behind =
      Ask<GetMigrationStatusResponse>("GetMigrationStatus", GetMigrationStatusRequest());
  EXPECT_EQ(behind.current(), latest - 1);
  EXPECT_EQ(behind.migrations(0).state(), MigrationStatus::STATE_DIFFERENT);
  EXPECT_EQ(behind.migrations(0).checksum(), "other");
  ASSERT_EQ(behind.migrations_size(), latest);
  const MigrationStatus& pending = behind.migrations(latest - 1);
  EXPECT_EQ(pending.state(), MigrationStatus::STATE_PENDING);
  EXPECT_EQ(pending.number(), latest);
  EXPECT_EQ(pending.checksum(), at_rest.migrations(latest - 1).checksum());
  EXPECT_FALSE(pending.has_applied_at());

  server_.database().Run("update twi_data_migrations set number = 999 where number = 2");
  const auto ahead =
      Ask<GetMigrationStatusResponse>("GetMigrationStatus", GetMigrationStatusRequest());
  EXPECT_EQ(ahead.current(), 999);
  ASSERT_EQ(ahead.migrations_size(), latest + 1);
  EXPECT_EQ(ahead.migrations(1).state(), MigrationStatus::STATE_PENDING);
  EXPECT_EQ(ahead.migrations(ahead.migrations_size() - 1).state(), MigrationStatus::STATE_UNKNOWN);
}

TEST_F(AdminServiceTest, TheServerTellsWhatItIs) {
  const auto info = Ask<GetServerInfoResponse>("GetServerInfo", GetServerInfoRequest());
  EXPECT_EQ(info.version(), "1.2.3");
  EXPECT_EQ(info.commit(), "abc");
  EXPECT_EQ(info.postgres_version(), server_.database().Value("show server_version"));
  EXPECT_EQ(std::to_string(info.schema_version()),
            server_.database().Value("select max(number) from twi_data_migrations"));
  EXPECT_EQ(info.settings().at("pool_max"), "20");
  EXPECT_LE(info.started_at().seconds(), std::time(nullptr));
  EXPECT_GT(info.uptime(), TimeUtil::SecondsToDuration(0));

  const auto pool = Ask<GetPoolResponse>("GetPool", GetPoolRequest());
  EXPECT_GE(pool.idle() + pool.busy(), 5);
  EXPECT_GE(pool.counts().opened(), 5);
  EXPECT_EQ(pool.settings().max_connections(), 20);
  EXPECT_EQ(pool.settings().min_connections(), 5);
  EXPECT_EQ(pool.settings().idle_timeout(), TimeUtil::SecondsToDuration(300));
  EXPECT_EQ(pool.settings().connect_timeout(), TimeUtil::SecondsToDuration(10));
}

TEST_F(AdminServiceTest, ConnectionsAreAsked) {
  ValidateConnectionsRequest request;
  *request.mutable_patience() = TimeUtil::SecondsToDuration(20);
  const auto all = Ask<ValidateConnectionsResponse>("ValidateConnections", request);
  EXPECT_EQ(all.checked(), 5);
  EXPECT_EQ(all.dead(), 0);
  EXPECT_EQ(all.replaced(), 0);
  for (const int64_t nanoseconds : {int64_t{0}, int64_t{-1}, int64_t{61'000'000'000}}) {
    *request.mutable_patience() = TimeUtil::NanosecondsToDuration(nanoseconds);
    const grpc::Status status = Call("AdminService/ValidateConnections", request, nullptr);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    const auto details = testing::DetailsOf(status);
    ASSERT_EQ(details.bad_request.field_violations_size(), 1);
    EXPECT_EQ(details.bad_request.field_violations(0).field(), "patience");
  }
}

/// Everything that runs alone is slow.
class SlowQueriesTest : public AdminServiceTest {
 protected:
  SlowQueriesTest() : AdminServiceTest(std::chrono::milliseconds(0)) {
    ProcessLog().set_level(LogLevel::kError);
  }

  ListSlowQueriesResponse List(int limit = 0) {
    ListSlowQueriesRequest request;
    request.set_limit(limit);
    return Ask<ListSlowQueriesResponse>("ListSlowQueries", request);
  }
  int Reset() {
    return Ask<ResetSlowQueriesResponse>("ResetSlowQueries", ResetSlowQueriesRequest())
        .forgotten_count();
  }
};

TEST_F(SlowQueriesTest, TheirTimesAreSplit) {
  // The first try fails in a way that passes, once it has taken a while.
  server_.database().Run(
      "create sequence tries; create function fail_once() returns trigger language plpgsql as $$"
      " begin if nextval('tries') = 1 then perform pg_sleep(0.05);"
      " raise 'too bad' using errcode = '40001'; end if; return new; end $$;"
      "create trigger fail before insert on quotes for each row execute function fail_once()");
  CreateQuoteRequest request;
  request.set_quote("A secret of somebody's.");
  request.set_author("Erin");
  request.set_author_id(1);
  ASSERT_TRUE(Call("QuotesService/CreateQuote", request, nullptr).ok());
  const auto list = List();
  ASSERT_EQ(list.slow_queries_size(), 1) << list.ShortDebugString();
  const data::v1::SlowQuery& query = list.slow_queries(0);
  EXPECT_EQ(query.operation(), "QuotesService/CreateQuote");
  EXPECT_EQ(query.attempts(), 2);
  EXPECT_EQ(query.code(), "OK");
  EXPECT_EQ(query.rows(), 1);
  EXPECT_GT(query.execution(), TimeUtil::SecondsToDuration(0));
  EXPECT_GE(query.queue_wait(), TimeUtil::SecondsToDuration(0));
  EXPECT_GE(query.retries(), TimeUtil::MillisecondsToDuration(50));
  EXPECT_LE(query.ended_at().seconds(), std::time(nullptr));
  EXPECT_THAT(list.ShortDebugString(), Not(HasSubstr("secret")));
  EXPECT_EQ(Reset(), 1);
  EXPECT_EQ(List().slow_queries_size(), 0);
}

TEST_F(SlowQueriesTest, TheLastHundredAreKept) {
  for (int i = 0; i < 103; ++i) {
    ASSERT_TRUE(Call("QuotesService/CountQuotes", CountQuotesRequest(), nullptr).ok());
  }
  ASSERT_TRUE(Call("LinksService/ListLinks", google::protobuf::Empty(), nullptr).ok());
  EXPECT_EQ(List().slow_queries_size(), 100);
  ASSERT_EQ(List(2).slow_queries_size(), 2);
  EXPECT_EQ(List(2).slow_queries(0).operation(), "LinksService/ListLinks");
  EXPECT_EQ(List(2).slow_queries(1).operation(), "QuotesService/CountQuotes");
  EXPECT_EQ(List(2).slow_queries(1).attempts(), 1);
  EXPECT_EQ(List(2).slow_queries(1).retries(), TimeUtil::SecondsToDuration(0));
  EXPECT_EQ(Reset(), 100);
}

}  // namespace
}  // namespace twi::server

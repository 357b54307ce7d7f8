// Operations that stream out: portion by portion, holding nothing between them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "server/wire.h"
#include "tests/support/conversation.h"
#include "tests/support/running_server.h"
#include "twi/test/v1/portions.pb.h"

namespace twi::server {
namespace {

using testing::Conversation;
using testing::DetailsOf;
using testing::RunningServer;
using twi::test::v1::StreamRowsRequest;
using twi::test::v1::StreamRowsResponse;

constexpr char kPath[] = "/twi.test.v1.PortionsService/StreamRows";
constexpr char kStanzas[] = R"(
-- name: StreamRows
-- page: r.created desc, r.id desc
select r.id, r.filler, r.created
from rows r
where r.kind = :kind and :page.after
order by r.created desc, r.id desc
limit :page.size;
)";

class PortionsTest : public ::testing::Test {
 protected:
  static StreamRowsRequest Kind(int64_t kind) {
    StreamRowsRequest request;
    request.set_kind(kind);
    return request;
  }

  /// How many statements the operation has run.
  double Statements() {
    const std::string page = server_.metrics().Page();
    double count = 0;
    for (const char* mode : {"batch", "solo"}) {
      const std::string name = std::string("twi_data_db_query_seconds_count{mode=\"") + mode +
                               "\",operation=\"PortionsService/StreamRows\"} ";
      count += std::stod(page.substr(page.find(name) + name.size()));
    }
    return count;
  }

  /// Waits until the stream has ended on the server and left nothing behind.
  void ExpectNothingLeft() {
    const std::string ended =
        "grpc_server_in_flight{grpc_method=\"StreamRows\","
        "grpc_service=\"twi.test.v1.PortionsService\"} 0";
    const auto idle = [&] {
      const sql::PoolNumbers pool = server_.pool().numbers();
      return server_.metrics().Page().find(ended) != std::string::npos && pool.busy == 0 &&
             pool.waiting == 0 &&
             server_.database().Value(
                 "select count(*) from pg_stat_activity where datname = current_database() and "
                 "application_name = 'twi-data' and state <> 'idle'") == "0";
    };
    for (int i = 0; i < 1000 && !idle(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const double statements = Statements();
    EXPECT_TRUE(idle());
    EXPECT_EQ(Statements(), statements);
    EXPECT_LT(statements, 40);
  }

  RunningServer server_{
      "create table rows (id bigint primary key, kind bigint not null, created bigint not null, "
      "filler text not null);"
      "insert into rows select i, 1, i / 7, repeat('x', 1000) from generate_series(1, 20000) i",
      {{"portions.sql", kStanzas}},
      {StreamRowsRequest::descriptor()->file()->FindServiceByName("PortionsService")}};
};

TEST_F(PortionsTest, EveryRowComesOnceInOrder) {
  Conversation stream(server_.stub(), kPath);
  ASSERT_TRUE(stream.Write(Kind(1)));
  stream.WritesDone();
  std::vector<int64_t> ids;
  StreamRowsResponse portion;
  while (stream.Read(&portion)) {
    EXPECT_LE(portion.rows_size(), 500);
    for (const auto& row : portion.rows()) ids.push_back(row.id());
  }
  EXPECT_TRUE(stream.Finish().ok());
  std::vector<int64_t> all(20000);
  std::iota(all.rbegin(), all.rend(), 1);
  EXPECT_EQ(ids, all);
  EXPECT_EQ(Statements(), 40);
}

TEST_F(PortionsTest, NoRowsAreNoMessages) {
  Conversation stream(server_.stub(), kPath);
  stream.Write(Kind(2));
  stream.WritesDone();
  StreamRowsResponse portion;
  EXPECT_FALSE(stream.Read(&portion));
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(PortionsTest, ABadRequestIsToldBeforeAnyMessage) {
  Conversation stream(server_.stub(), kPath);
  stream.Write(Kind(-1));
  stream.WritesDone();
  StreamRowsResponse portion;
  EXPECT_FALSE(stream.Read(&portion));
  EXPECT_EQ(DetailsOf(stream.Finish()).info.reason(), "FIELD_INVALID");

  Conversation none(server_.stub(), kPath);
  none.WritesDone();
  EXPECT_EQ(DetailsOf(none.Finish()).info.reason(), "CALL_REFUSED");
}

TEST_F(PortionsTest, AClientThatDoesNotReadHoldsTheStreamBack) {
  Conversation stream(server_.stub(), kPath);
  stream.Write(Kind(1));
  stream.WritesDone();
  StreamRowsResponse portion;
  ASSERT_TRUE(stream.Read(&portion));
  // Wait until the transport is full: no statement for a while.
  double statements = Statements();
  for (int quiet = 0; quiet < 5;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const double now = Statements();
    quiet = now == statements ? quiet + 1 : 0;
    statements = now;
  }
  EXPECT_LT(statements, 40) << "all portions were read for a client that takes none";
  int rows = portion.rows_size();
  while (stream.Read(&portion)) rows += portion.rows_size();
  EXPECT_EQ(rows, 20000);
  EXPECT_TRUE(stream.Finish().ok());
}

TEST_F(PortionsTest, AClientThatVanishesEndsTheStream) {
  {
    Conversation stream(server_.stub(), kPath);
    stream.Write(Kind(1));
    StreamRowsResponse portion;
    ASSERT_TRUE(stream.Read(&portion));
    stream.context().TryCancel();
    stream.Finish();
  }
  ExpectNothingLeft();
}

TEST_F(PortionsTest, ADeadlineEndsTheStream) {
  Conversation stream(server_.stub(), kPath, std::chrono::seconds(1));
  stream.Write(Kind(1));
  // The client takes the first portion at the most, so the deadline passes while one waits.
  StreamRowsResponse portion;
  stream.Read(&portion);
  ExpectNothingLeft();
  while (stream.Read(&portion)) {
  }
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(PortionsTest, AnErrorInALaterPortionEndsTheStream) {
  Conversation stream(server_.stub(), kPath);
  stream.Write(Kind(1));
  stream.WritesDone();
  StreamRowsResponse portion;
  ASSERT_TRUE(stream.Read(&portion));
  server_.database().Run("alter table rows rename to hidden");
  int rows = portion.rows_size();
  while (stream.Read(&portion)) rows += portion.rows_size();
  // What came before the error came whole.
  EXPECT_EQ(rows % 500, 0);
  EXPECT_LT(rows, 20000);
  const grpc::Status status = stream.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(status).info.reason(), "SCHEMA_MISMATCH");
  ExpectNothingLeft();
}

TEST_F(PortionsTest, WideRowsComeInSmallerPortions) {
  // Clients take messages of 4 MiB unless they are told otherwise.
  server_.database().Run(
      "insert into rows select i, 3, i, repeat('x', 20000) from generate_series(30001, 30600) i;"
      "insert into rows values (40000, 3, 0, repeat('x', 3000000))");
  Conversation stream(server_.stub(), kPath);
  stream.Write(Kind(3));
  stream.WritesDone();
  StreamRowsResponse portion;
  std::vector<int64_t> ids;
  while (stream.Read(&portion)) {
    EXPECT_TRUE(portion.ByteSizeLong() <= 1 << 20 || portion.rows_size() == 1);
    for (const auto& row : portion.rows()) ids.push_back(row.id());
  }
  const grpc::Status status = stream.Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  std::vector<int64_t> all(600);
  std::iota(all.rbegin(), all.rend(), 30001);
  all.push_back(40000);
  EXPECT_EQ(ids, all);
}

}  // namespace
}  // namespace twi::server

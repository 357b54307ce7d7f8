// Statements that answer many calls, and what streams in: on the whole way.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/support/conversation.h"
#include "tests/support/running_server.h"
#include "twi/test/v1/sets.pb.h"

namespace twi::server {
namespace {

using testing::Conversation;
using testing::DetailsOf;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::RunningServer;
using twi::test::v1::ForgetReadingRequest;
using twi::test::v1::GetReadingRequest;
using twi::test::v1::GetReadingResponse;
using twi::test::v1::ImportReadingsRequest;
using twi::test::v1::ImportReadingsResponse;
using twi::test::v1::ListAlikeRequest;
using twi::test::v1::ListAlikeResponse;
using twi::test::v1::SaveReadingRequest;
using twi::test::v1::SaveReadingResponse;

constexpr char kStanzas[] = R"(
-- part: save
with request as (
  select
    r._call,
    (r.request -> 'reading' ->> 'sensor_id')::bigint as sensor_id,
    (r.request -> 'reading' ->> 'value')::double precision as value,
    r.request -> 'reading' ->> 'unit' as unit
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
saved as (
  insert into readings as s (sensor_id, value, unit)
  select r.sensor_id, r.value, r.unit
  from request r
  on conflict (sensor_id) do update
  set value = excluded.value, unit = excluded.unit, version = s.version + 1
  returning s.sensor_id, s.version
)

-- name: SaveReading
-- batch: reading.sensor_id
:part.save
select r._call, s.version, (select count(*) from request) as together
from request r
join saved s using (sensor_id);

-- name: GetReading
-- batch: sensor_id
select r._call, s.sensor_id, s.value, s.unit
from jsonb_array_elements(:requests) with ordinality r (request, _call)
join readings s on s.sensor_id = (r.request ->> 'sensor_id')::bigint;

-- name: ListAlike
-- batch: sensor_id
select r._call, o.sensor_id as sensor_ids
from jsonb_array_elements(:requests) with ordinality r (request, _call)
join readings s on s.sensor_id = (r.request ->> 'sensor_id')::bigint
join readings o on o.value = s.value and o.sensor_id <> s.sensor_id
order by o.sensor_id;

-- name: ForgetReading
-- batch: sensor_id
with request as (
  select r._call, (r.request ->> 'sensor_id')::bigint as sensor_id
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
)
delete from readings s
using request r
where s.sensor_id = r.sensor_id
returning r._call;

-- name: ImportReadings
-- batch: reading.sensor_id
:part.save
select
  count(*) filter (where s.version = 1) as inserted,
  count(*) filter (where s.version > 1) as updated
from saved s;

-- name: ImportAllReadings
-- batch: reading.sensor_id
-- stream: one transaction
:part.save
select
  count(*) filter (where s.version = 1) as inserted,
  count(*) filter (where s.version > 1) as updated
from saved s;
)";

constexpr char kService[] = "/twi.test.v1.SetsService/";

SaveReadingRequest Save(int64_t sensor, double value) {
  SaveReadingRequest request;
  request.mutable_reading()->set_sensor_id(sensor);
  request.mutable_reading()->set_value(value);
  request.mutable_reading()->set_unit("°C \"quoted\"");
  return request;
}

ImportReadingsRequest Import(int64_t sensor) {
  ImportReadingsRequest request;
  request.mutable_reading()->set_sensor_id(sensor);
  return request;
}

class SetsTest : public ::testing::Test {
 protected:
  grpc::Status Call(const char* method, const google::protobuf::Message& request,
                    google::protobuf::Message* response) {
    return server_.Call(std::string(kService) + method, request, response);
  }

  std::string Value(const std::string& query) { return server_.database().Value(query); }

  RunningServer server_{
      "create table readings (sensor_id bigint primary key check (sensor_id <= 1000000), "
      "value double precision, unit text not null, version bigint not null default 1)",
      {{"sets.sql", kStanzas}},
      {SaveReadingRequest::descriptor()->file()->FindServiceByName("SetsService")},
      {},
      {},
      {.slow = absl::InfiniteDuration()}};
};

TEST_F(SetsTest, OneCallIsASetOfOne) {
  SaveReadingResponse saved;
  ASSERT_TRUE(Call("SaveReading", Save(7, 1.5), &saved).ok());
  EXPECT_EQ(saved.version(), 1);
  EXPECT_EQ(saved.together(), 1);
  GetReadingRequest get;
  get.set_sensor_id(7);
  GetReadingResponse got;
  ASSERT_TRUE(Call("GetReading", get, &got).ok());
  EXPECT_EQ(got.reading().value(), 1.5);
  EXPECT_EQ(got.reading().unit(), "°C \"quoted\"");
  get.set_sensor_id(8);
  EXPECT_EQ(Call("GetReading", get, &got).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(SetsTest, AListHasTheRowsOfItsOwnCall) {
  for (int64_t sensor = 1; sensor <= 4; ++sensor) {
    ASSERT_TRUE(Call("SaveReading", Save(sensor, sensor == 3 ? 2 : 1), nullptr).ok());
  }
  ListAlikeRequest request;
  ListAlikeResponse response;
  request.set_sensor_id(2);
  ASSERT_TRUE(Call("ListAlike", request, &response).ok());
  EXPECT_THAT(response.sensor_ids(), ElementsAre(1, 4));
  request.set_sensor_id(3);
  ASSERT_TRUE(Call("ListAlike", request, &response).ok());
  EXPECT_THAT(response.sensor_ids(), IsEmpty());
}

TEST_F(SetsTest, NoRowOfItsOwnIsNotFound) {
  ASSERT_TRUE(Call("SaveReading", Save(1, 1), nullptr).ok());
  ForgetReadingRequest request;
  request.set_sensor_id(1);
  EXPECT_TRUE(Call("ForgetReading", request, nullptr).ok());
  EXPECT_EQ(Call("ForgetReading", request, nullptr).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(SetsTest, CallsThatArriveTogetherShareStatementsAndEachHasItsAnswer) {
  std::atomic<int64_t> most{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 16; ++caller) {
    callers.emplace_back([this, caller, &most] {
      for (int i = 1; i <= 50; ++i) {
        SaveReadingResponse saved;
        ASSERT_TRUE(Call("SaveReading", Save(caller + 1, i), &saved).ok());
        EXPECT_EQ(saved.version(), i);
        int64_t before = most;
        while (saved.together() > before && !most.compare_exchange_weak(before, saved.together())) {
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_GT(most, 1);
  EXPECT_EQ(Value("select count(*) || ' ' || sum(version) from readings"), "16 800");
}

TEST_F(SetsTest, AStreamIsTakenInChunksAndAddedUp) {
  server_.database().Run(
      "insert into readings (sensor_id, unit) select i, '' from generate_series(1, 100) i");
  Conversation conversation(server_.stub(), std::string(kService) + "ImportReadings");
  for (int64_t sensor = 1; sensor <= 1000; ++sensor) {
    ASSERT_TRUE(conversation.Write(Import(sensor)));
  }
  conversation.WritesDone();
  ImportReadingsResponse response;
  ASSERT_TRUE(conversation.Read(&response));
  EXPECT_TRUE(conversation.Finish().ok());
  EXPECT_EQ(response.inserted(), 900);
  EXPECT_EQ(response.updated(), 100);
  EXPECT_EQ(Value("select count(distinct xmin::text) from readings"), "8");
}

TEST_F(SetsTest, WhatComesTwiceInAStreamIsDoneInItsOrder) {
  Conversation conversation(server_.stub(), std::string(kService) + "ImportReadings");
  for (int i = 0; i < 6; ++i) {
    ImportReadingsRequest request = Import(1 + i % 2);
    request.mutable_reading()->set_value(i);
    ASSERT_TRUE(conversation.Write(request));
  }
  conversation.WritesDone();
  ImportReadingsResponse response;
  ASSERT_TRUE(conversation.Read(&response));
  EXPECT_TRUE(conversation.Finish().ok());
  EXPECT_EQ(response.inserted(), 2);
  EXPECT_EQ(response.updated(), 4);
  EXPECT_EQ(Value("select string_agg(value::text, ' ' order by sensor_id) from readings"), "4 5");
}

TEST_F(SetsTest, AnEmptyStreamIsNothing) {
  Conversation conversation(server_.stub(), std::string(kService) + "ImportReadings");
  conversation.WritesDone();
  ImportReadingsResponse response;
  ASSERT_TRUE(conversation.Read(&response));
  EXPECT_TRUE(conversation.Finish().ok());
  EXPECT_EQ(response.inserted(), 0);
}

TEST_F(SetsTest, AFailureSaysHowFarTheStreamGot) {
  Conversation conversation(server_.stub(), std::string(kService) + "ImportReadings");
  for (int64_t sensor = 1; sensor <= 600; ++sensor) {
    if (!conversation.Write(Import(sensor == 300 ? 1000001 : sensor))) break;
  }
  conversation.WritesDone();
  const grpc::Status status = conversation.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(status).info.reason(), "CONSTRAINT_VIOLATED");
  EXPECT_EQ(DetailsOf(status).info.metadata().at("requests_done"), "256");
  EXPECT_EQ(Value("select count(*) || ' ' || max(sensor_id) from readings"), "256 256");
}

TEST_F(SetsTest, AnInvalidRequestEndsTheStreamAndSaysHowFarItGot) {
  Conversation conversation(server_.stub(), std::string(kService) + "ImportReadings");
  for (int64_t sensor = 200; sensor > -1; --sensor) {
    if (!conversation.Write(Import(sensor))) break;
  }
  const grpc::Status status = conversation.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(status).bad_request.field_violations(0).field(), "reading.sensor_id");
  EXPECT_EQ(DetailsOf(status).info.metadata().at("requests_done"), "128");
  EXPECT_EQ(Value("select count(*) from readings"), "128");
}

TEST_F(SetsTest, AStreamThatIsOneTransactionIsDoneWhole) {
  Conversation conversation(server_.stub(), std::string(kService) + "ImportAllReadings");
  for (int64_t sensor = 1; sensor <= 300; ++sensor) {
    ASSERT_TRUE(conversation.Write(Import(sensor)));
    EXPECT_TRUE(sensor % 100 != 0 || Value("select count(*) from readings") == "0");
  }
  conversation.WritesDone();
  ImportReadingsResponse response;
  ASSERT_TRUE(conversation.Read(&response));
  EXPECT_TRUE(conversation.Finish().ok());
  EXPECT_EQ(response.inserted(), 300);
  EXPECT_EQ(Value("select count(*) || ' ' || count(distinct xmin::text) from readings"), "300 1");
}

TEST_F(SetsTest, AStreamThatIsOneTransactionIsNotDoneWithAnError) {
  Conversation conversation(server_.stub(), std::string(kService) + "ImportAllReadings");
  for (int64_t sensor = 1; sensor <= 600; ++sensor) {
    if (!conversation.Write(Import(sensor == 300 ? 1000001 : sensor))) break;
  }
  conversation.WritesDone();
  const grpc::Status status = conversation.Finish();
  EXPECT_EQ(DetailsOf(status).info.reason(), "CONSTRAINT_VIOLATED");
  EXPECT_EQ(DetailsOf(status).info.metadata().at("requests_done"), "0");
  EXPECT_EQ(Value("select count(*) from readings"), "0");
}

TEST_F(SetsTest, AClientThatVanishesLeavesNothingOfATransaction) {
  {
    Conversation conversation(server_.stub(), std::string(kService) + "ImportAllReadings");
    for (int64_t sensor = 1; sensor <= 200; ++sensor) {
      ASSERT_TRUE(conversation.Write(Import(sensor)));
    }
    conversation.context().TryCancel();
    EXPECT_EQ(conversation.Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  const std::string open =
      "select count(*) from pg_stat_activity where datname = current_database() and "
      "application_name = 'twi-data' and xact_start is not null";
  for (int i = 0; i < 3000 && Value(open) != "0"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(Value(open), "0");
  EXPECT_EQ(Value("select count(*) from readings"), "0");
}

}  // namespace
}  // namespace twi::server

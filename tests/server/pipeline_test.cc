#include "server/pipeline.h"

#include <gmock/gmock.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpc/compression.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "grpc/health/v1/health.pb.h"
#include "server/wire.h"
#include "tests/support/conversation.h"
#include "tests/support/running_server.h"
#include "twi/data/v1/quotes.pb.h"

namespace twi::server {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using ::testing::AnyOf;
using testing::Conversation;
using testing::DetailsOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RunningServer;
using twi::data::v1::CreateQuoteRequest;
using twi::data::v1::CreateQuoteResponse;
using twi::data::v1::GetQuoteRequest;
using twi::data::v1::GetQuoteResponse;
using twi::data::v1::ListQuotesRequest;
using twi::data::v1::ListQuotesResponse;

constexpr char kGetQuote[] = "/twi.data.v1.QuotesService/GetQuote";
constexpr char kListQuotes[] = "/twi.data.v1.QuotesService/ListQuotes";
constexpr char kCreateQuote[] = "/twi.data.v1.QuotesService/CreateQuote";
constexpr char kHealthCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kDeleteQuote[] = "/twi.data.v1.QuotesService/DeleteQuote";

class PipelineTest : public ::testing::Test {
 protected:
  GetQuoteRequest Get(int64_t id) {
    GetQuoteRequest request;
    request.set_serial_id(id);
    return request;
  }
  /// Keeps every write to quotes waiting.
  testing::Transaction LockQuotes() { return {server_.database(), "lock table quotes"}; }

  /// Begins a write that waits for the lock.
  std::future<grpc::Status> BeginDelete() {
    auto call = std::async(std::launch::async, [this] {
      twi::data::v1::DeleteQuoteRequest request;
      request.set_serial_id(1);
      return server_.Call(kDeleteQuote, request, nullptr);
    });
    Until([this] {
      return server_.database().Value(
                 "select count(*) from pg_stat_activity where application_name = 'twi-data' and "
                 "datname = current_database() and wait_event_type = 'Lock'") != "0";
    });
    return call;
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

TEST_F(PipelineTest, AMethodThatDoesNotExistIsUnimplemented) {
  const grpc::Status status = server_.Call("/twi.data.v1.QuotesService/Nothing", Get(1), nullptr);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(DetailsOf(status).info.reason(), "METHOD_UNKNOWN");
  // Whatever bytes its name is made of, the details can be read.
  EXPECT_EQ(DetailsOf(server_.Call("/no\xff/such", Get(1), nullptr)).info.reason(),
            "METHOD_UNKNOWN");
  EXPECT_THAT(
      server_.metrics().Page(),
      HasSubstr("grpc_server_handled_total{grpc_code=\"Unimplemented\",grpc_method=\"unknown\""));
}

TEST_F(PipelineTest, AUnaryCallIsOneMessage) {
  Conversation two(server_.stub(), kGetQuote);
  two.Write(Get(1));
  two.Write(Get(2));
  two.WritesDone();
  const grpc::Status status = two.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(DetailsOf(status).info.reason(), "CALL_REFUSED");

  Conversation none(server_.stub(), kGetQuote);
  none.WritesDone();
  EXPECT_EQ(DetailsOf(none.Finish()).info.reason(), "CALL_REFUSED");
}

TEST_F(PipelineTest, BytesThatAreNoMessageAreInvalid) {
  grpc::ByteBuffer response;
  const grpc::Status status = server_.CallRaw(kGetQuote, Buffer("\xff\xff\xff"), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(DetailsOf(status).info.reason(), "REQUEST_MALFORMED");
  // Text that is not UTF-8 never comes to the database.
  const grpc::Status text = server_.CallRaw(kCreateQuote,
                                            Buffer("\x0a\x04"
                                                   "ab\xff"
                                                   "z"),
                                            &response);
  EXPECT_EQ(text.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(server_.database().Value("select count(*) from quotes"), "0");
}

TEST_F(PipelineTest, MessagesOverTheLimitAreRefused) {
  grpc::ByteBuffer response;
  for (const auto& [size, reason] :
       {std::pair(4 << 20, "FIELD_INVALID"), std::pair((4 << 20) + 1, "MESSAGE_TOO_LARGE")}) {
    CreateQuoteRequest request;
    request.set_quote(std::string(size, 'a'));
    request.set_quote(std::string(2 * size - static_cast<int>(request.ByteSizeLong()), 'a'));
    ASSERT_EQ(request.ByteSizeLong(), size);
    const grpc::Status status = server_.Call(kCreateQuote, request, nullptr);
    EXPECT_EQ(DetailsOf(status).info.reason(), reason);
  }
  // Of what streams out, too; what streams in has gRPC's limit.
  for (const auto& [path, code] :
       {std::pair("/twi.data.v1.MessagesService/StreamMessages", grpc::RESOURCE_EXHAUSTED),
        std::pair("/twi.data.v1.MessagesService/ImportMessages", grpc::INVALID_ARGUMENT)}) {
    Conversation conversation(server_.stub(), path);
    CreateQuoteRequest large;
    large.set_quote(std::string(4 << 20, 'a'));
    conversation.Write(large);
    conversation.WritesDone();
    CreateQuoteRequest nothing;
    EXPECT_FALSE(conversation.Read(&nothing));
    EXPECT_EQ(conversation.Finish().error_code(), code) << path;
  }
  CreateQuoteRequest huge;
  huge.set_quote(std::string(17 << 20, 'a'));
  EXPECT_EQ(server_.Call(kCreateQuote, huge, nullptr).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(PipelineTest, CompressedRequestsAreRefused) {
  for (grpc_compression_algorithm algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    CreateQuoteRequest request;
    request.set_quote(std::string(1000, 'a'));
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    EXPECT_EQ(server_.Call(kCreateQuote, request, nullptr, &context).error_code(),
              grpc::StatusCode::UNIMPLEMENTED);
  }
  EXPECT_EQ(server_.database().Value("select count(*) from quotes"), "0");
}

TEST_F(PipelineTest, DetailsOfAnErrorStayUnderWhatClientsTake) {
  CreateQuoteRequest request;
  request.set_quote("ab");
  request.set_author(std::string(100'000, 'x'));
  request.set_author_id(-1);
  const grpc::Status status = server_.Call(kCreateQuote, request, nullptr);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_LE(status.error_details().size(), 4096u);
  EXPECT_EQ(DetailsOf(status).bad_request.field_violations_size(), 3);
  EXPECT_EQ(DetailsOf(status).info.metadata().at("operation"), "QuotesService/CreateQuote");
}

TEST_F(PipelineTest, PagesHoldEveryRowOnceWhileRowsCome) {
  server_.database().Run(
      "insert into quotes (quote, time) select 'q' || i, '2020-01-01'::timestamptz "
      "+ (i / 3) * interval '1 second' from generate_series(1, 250) i");
  ListQuotesRequest request;
  request.set_page_size(40);
  std::vector<int64_t> ids;
  int pages = 0;
  do {
    ListQuotesResponse response;
    ASSERT_TRUE(server_.Call(kListQuotes, request, &response).ok());
    for (const auto& quote : response.quotes()) ids.push_back(quote.serial_id());
    request.set_page_token(response.next_page_token());
    // The size may change from page to page.
    request.set_page_size(++pages % 2 == 0 ? 40 : 7);
    server_.database().Run("insert into quotes (quote, time) values ('early', '2019-01-01')");
  } while (!request.page_token().empty());
  std::vector<int64_t> all(250);
  std::iota(all.begin(), all.end(), 1);
  EXPECT_EQ(ids, all);
}

TEST_F(PipelineTest, ATokenOfAnotherListIsRefused) {
  server_.database().Run("insert into quotes (quote) select 'q' || i from generate_series(1, 5) i");
  ListQuotesRequest request;
  request.set_page_size(2);
  ListQuotesResponse response;
  ASSERT_TRUE(server_.Call(kListQuotes, request, &response).ok());
  twi::data::v1::ListQuoteIndexRequest other;
  other.set_page_token(response.next_page_token());
  const grpc::Status status =
      server_.Call("/twi.data.v1.QuotesService/ListQuoteIndex", other, nullptr);
  EXPECT_EQ(DetailsOf(status).info.reason(), "PAGE_TOKEN_INVALID");
}

TEST_F(PipelineTest, ACallEndsAtItsDeadlineAndIsCountedSo) {
  // Connects, which may take longer than the deadline: such a call never comes to the server.
  ListQuotesRequest list;
  list.set_page_size(1);
  ASSERT_TRUE(server_.Call(kListQuotes, list, nullptr).ok());
  testing::Transaction holder = LockQuotes();
  CreateQuoteRequest request;
  request.set_quote("too late");
  const std::string counted =
      "grpc_server_handled_total{grpc_code=\"DeadlineExceeded\",grpc_method=\"CreateQuote\","
      "grpc_service=\"twi.data.v1.QuotesService\",grpc_type=\"unary\"} ";
  // On a busy machine one may never come here, or its client give it up too early.
  Until([&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
    EXPECT_EQ(server_.Call(kCreateQuote, request, nullptr, &context).error_code(),
              grpc::StatusCode::DEADLINE_EXCEEDED);
    const std::string page = server_.metrics().Page();
    return page.find(counted) != page.npos && page.find(counted + "0") == page.npos;
  });
  // The statement has ended by its own timeout; afterwards others are served.
  holder.End();
  CreateQuoteResponse response;
  EXPECT_TRUE(server_.Call(kCreateQuote, request, &response).ok());
}

TEST_F(PipelineTest, NothingOfTheDatabaseIsToldToCallers) {
  server_.database().Run("alter table quotes add check (quote <> 'forbidden')");
  CreateQuoteRequest request;
  request.set_quote("forbidden");
  const grpc::Status status = server_.Call(kCreateQuote, request, nullptr);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  const auto details = DetailsOf(status);
  EXPECT_EQ(details.info.reason(), "CONSTRAINT_VIOLATED");
  EXPECT_EQ(details.info.metadata().at("constraint"), "quotes_quote_check");
  for (const char* word : {"23514", "insert", "relation", "forbidden", "Failing row"}) {
    EXPECT_THAT(status.error_message(), Not(HasSubstr(word)));
    EXPECT_THAT(status.error_details(), Not(HasSubstr(word)));
  }
}

TEST_F(PipelineTest, ASchemaThatChangedUnderTheServerIsAFailedPrecondition) {
  server_.database().Run("insert into quotes (quote) values ('a')");
  ASSERT_TRUE(server_.Call(kGetQuote, Get(1), nullptr).ok());
  server_.database().Run("alter table quotes alter column author_id type text");
  const grpc::Status status = server_.Call(kGetQuote, Get(1), nullptr);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(DetailsOf(status).info.reason(), "SCHEMA_MISMATCH");
}

TEST_F(PipelineTest, HealthTellsAndIsWatched) {
  HealthCheckRequest request;
  HealthCheckResponse response;
  request.set_service("twi.data.v1.QuotesService");
  ASSERT_TRUE(server_.Call(kHealthCheck, request, &response).ok());
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  request.set_service("no.such.Service");
  EXPECT_EQ(server_.Call(kHealthCheck, request, nullptr).error_code(), grpc::StatusCode::NOT_FOUND);

  grpc::health::v1::HealthListResponse list;
  ASSERT_TRUE(
      server_.Call("/grpc.health.v1.Health/List", grpc::health::v1::HealthListRequest(), &list)
          .ok());
  EXPECT_EQ(list.statuses().at("liveness").status(), HealthCheckResponse::SERVING);

  Conversation watch(server_.stub(), "/grpc.health.v1.Health/Watch");
  request.set_service("readiness");
  watch.Write(request);
  watch.WritesDone();
  ASSERT_TRUE(watch.Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  server_.health().SetServing(false);
  ASSERT_TRUE(watch.Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  server_.health().SetServing(true);
  ASSERT_TRUE(watch.Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  watch.context().TryCancel();
  EXPECT_EQ(watch.Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(PipelineTest, ManyWatchersComeAndGo) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this] {
      for (int round = 0; round < 10; ++round) {
        Conversation watch(server_.stub(), "/grpc.health.v1.Health/Watch");
        watch.Write(HealthCheckRequest());
        HealthCheckResponse response;
        EXPECT_TRUE(watch.Read(&response));
        watch.context().TryCancel();
        watch.Finish();
      }
    });
  }
  for (int i = 0; i < 200; ++i) server_.health().SetServing(i % 2 == 1);
  for (std::thread& thread : threads) thread.join();
}

TEST_F(PipelineTest, ManyCallersAtOnceGetTheirOwnAnswers) {
  server_.database().Run(
      "insert into quotes (quote) select 'q' || i from generate_series(1, 100) i");
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([this, thread] {
      for (int i = 0; i < 50; ++i) {
        const int64_t id = 1 + (thread * 50 + i) % 110;
        GetQuoteResponse response;
        const grpc::Status status = server_.Call(kGetQuote, Get(id), &response);
        if (id > 100) {
          EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
        } else {
          EXPECT_EQ(response.quote().quote(), "q" + std::to_string(id));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(PipelineTest, CallsUnderWayEndBeforeTheServerDoes) {
  server_.database().Run("insert into quotes (quote) values ('a')");
  testing::Transaction holder = LockQuotes();
  auto call = BeginDelete();
  auto shutdown =
      std::async(std::launch::async, [this] { server_.server().Shutdown(absl::Seconds(60)); });
  Until([this] {
    return server_.Call(kHealthCheck, HealthCheckRequest(), nullptr).error_code() ==
           grpc::StatusCode::UNAVAILABLE;
  });
  holder.End();
  EXPECT_TRUE(call.get().ok());
  shutdown.get();
  EXPECT_EQ(server_.Call(kGetQuote, Get(1), nullptr).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(PipelineTest, CallsThatDoNotEndInTimeAreCancelled) {
  server_.database().Run("insert into quotes (quote) values ('a')");
  const testing::Transaction holder = LockQuotes();
  auto call = BeginDelete();
  server_.server().Shutdown(absl::Milliseconds(200));
  EXPECT_THAT(call.get().error_code(),
              AnyOf(grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::CANCELLED));
}

}  // namespace
}  // namespace twi::server

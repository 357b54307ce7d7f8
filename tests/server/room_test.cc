// How many calls there may be, and how many of one caller.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "grpc/health/v1/health.pb.h"
#include "server/access.h"
#include "sql/errors.h"
#include "tests/support/conversation.h"
#include "tests/support/running_server.h"
#include "twi/data/v1/quotes.pb.h"

namespace twi::server {
namespace {

using testing::Conversation;
using testing::RunningServer;

// Among them those that gRPC has been asked for and that have not come yet.
constexpr int kLimit = 500;
constexpr char kToken[] = "the token of the bot";

class RoomTest : public ::testing::Test {
 protected:
  RoomTest() {
    const std::string file =
        absl::StrCat("principal { name: 'bot' allow: '*' } token { principal: 'bot' sha256: '",
                     Digest::Of(kToken).ToString(), "' }");
    EXPECT_TRUE(access_.Load(file).ok());
    Pipeline::Options options;
    options.call_limit = kLimit;
    server_ = std::make_unique<RunningServer>(
        "", kRepositories, DataServices(), options, std::vector<Service*>{}, sql::PoolOptions{},
        /*caching=*/false, sql::ChangesFrom::kStream, &access_);
  }

  /// How a call of the bot ends.
  grpc::StatusCode Get() {
    grpc::ClientContext context;
    context.AddMetadata("authorization", absl::StrCat("Bearer ", kToken));
    data::v1::GetQuoteRequest request;
    request.set_serial_id(1);
    return server_->Call("/twi.data.v1.QuotesService/GetQuote", request, nullptr, &context)
        .error_code();
  }

  Access access_{AllServices()};
  std::unique_ptr<RunningServer> server_;
  std::vector<std::unique_ptr<Conversation>> held_;
};

TEST_F(RoomTest, WhoNeedNotSayWhoTheyAreLeaveSomeForOthers) {
  grpc::Status refusal;
  while (held_.size() < kLimit && refusal.ok()) {
    auto watch = std::make_unique<Conversation>(server_->stub(), "/grpc.health.v1.Health/Watch");
    grpc::health::v1::HealthCheckResponse response;
    watch->Write(grpc::health::v1::HealthCheckRequest());
    watch->WritesDone();
    if (watch->Read(&response)) {
      held_.push_back(std::move(watch));
    } else {
      refusal = watch->Finish();
    }
  }
  EXPECT_EQ(refusal.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << held_.size();
  EXPECT_LE(held_.size(), kLimit / 2);
  EXPECT_EQ(Get(), grpc::StatusCode::NOT_FOUND);
  for (const auto& watch : held_) {
    watch->context().TryCancel();
    watch->Finish();
  }
}

TEST_F(RoomTest, WhatHadToWaitForTooLongIsRefusedForAMomentUnread) {
  const auto* method = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
      "twi.data.v1.QuotesService.GetQuote");
  const std::string authorization = absl::StrCat("Bearer ", kToken);
  Principal* bot = nullptr;
  ASSERT_TRUE(access_.Enter(method, {.authorization = authorization}, &bot).ok());
  bot->Left();
  EXPECT_EQ(Get(), grpc::StatusCode::NOT_FOUND);
  const auto* statement = &server_->operation("QuotesService/GetQuote")->statement();
  // A busy machine may let the moment pass.
  grpc::StatusCode code = grpc::StatusCode::OK;
  for (int tries = 0; tries < 100 && code != grpc::StatusCode::RESOURCE_EXHAUSTED; ++tries) {
    bot->flow().refused.Set(statement, sql::TooManyWait(std::chrono::seconds(2)));
    code = Get();
  }
  EXPECT_EQ(code, grpc::StatusCode::RESOURCE_EXHAUSTED);
  std::this_thread::sleep_for(sql::Flow::Refused::kStands);
  EXPECT_EQ(Get(), grpc::StatusCode::NOT_FOUND);
}

}  // namespace
}  // namespace twi::server

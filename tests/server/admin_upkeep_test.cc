// An administrator has the database's upkeep done, and sees each step.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/conversation.h"
#include "tests/support/running_server.h"
#include "twi/data/v1/admin.pb.h"

namespace twi::server {
namespace {

using namespace data::v1;  // NOLINT(google-build-using-namespace): all that it has is asked for.
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class AdminUpkeepTest : public ::testing::Test {
 protected:
  /// A call that goes on.
  std::unique_ptr<testing::Conversation> Begin(
      const char* method, const google::protobuf::Message& request,
      std::chrono::milliseconds timeout = std::chrono::seconds(100)) {
    auto conversation = std::make_unique<testing::Conversation>(
        server_->stub(), std::string("/twi.data.v1.AdminService/") + method, timeout);
    EXPECT_TRUE(conversation->Write(request));
    conversation->WritesDone();
    return conversation;
  }

  /// The steps of a whole call: `towns: REFRESHED`. They are counted by what became of them, too.
  template <typename Response>
  std::vector<std::string> Do(const char* method, const google::protobuf::Message& request,
                              grpc::StatusCode code = grpc::StatusCode::OK) {
    const auto conversation = Begin(method, request);
    std::vector<std::string> steps;
    Response response;
    while (conversation->Read(&response)) {
      const UpkeepStep& step = response.step();
      std::string outcome = UpkeepOutcome_Name(step.outcome()).substr(15);
      EXPECT_EQ(step.has_duration(), outcome != "BEGUN" && outcome != "WAITING");
      EXPECT_TRUE(step.outcome() != UPKEEP_OUTCOME_FAILED || !step.detail().empty());
      if constexpr (std::is_same_v<Response, RefreshMaterializedViewsResponse>) {
        if (response.concurrently()) outcome += " concurrently";
      }
      // The database may not have let go of the turn of the call before.
      if (outcome != "WAITING") steps.push_back(absl::StrCat(step.name(), ": ", outcome));
    }
    const grpc::Status status = conversation->Finish();
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    details_ = testing::DetailsOf(status);
    return steps;
  }

  std::vector<std::string> Optimize(OptimizationSet set) {
    ApplyOptimizationsRequest request;
    request.set_set(set);
    return Do<ApplyOptimizationsResponse>("ApplyOptimizations", request);
  }
  std::vector<std::string> Refresh(const std::vector<std::string>& views,
                                   grpc::StatusCode code = grpc::StatusCode::OK) {
    RefreshMaterializedViewsRequest request;
    request.mutable_views()->Assign(views.begin(), views.end());
    return Do<RefreshMaterializedViewsResponse>("RefreshMaterializedViews", request, code);
  }
  std::vector<std::string> Maintain(bool dry_run) {
    MaintainIndexesRequest request;
    request.set_dry_run(dry_run);
    std::vector<std::string> steps = Do<MaintainIndexesResponse>("MaintainIndexes", request);
    std::erase_if(steps, [](const std::string& step) { return step.ends_with("ANALYZED"); });
    return steps;
  }

  std::string Value(const std::string& sql) { return server_->database().Value(sql); }
  /// Waits until a query says `t`.
  bool Eventually(const std::string& sql) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (Value(sql) != "t") {
      if (std::chrono::steady_clock::now() > end) return false;
    }
    return true;
  }
  /// Whether nobody waits for the turn to work on the database any more.
  static constexpr char kNobodyWaits[] =
      "select count(*) = 0 from pg_stat_activity where datname = current_database()"
      " and query like 'select pg_try_advisory_lock(%'";

  std::unique_ptr<testing::RunningServer> server_ = std::make_unique<testing::RunningServer>();
  testing::ErrorDetails details_;
};

std::vector<std::string> Ended(std::vector<std::string> steps, const std::string& outcome) {
  std::erase_if(steps, [&](const auto& step) { return !step.ends_with(": " + outcome); });
  return steps;
}

TEST_F(AdminUpkeepTest, SetsAreMadeAndViewsComputed) {
  // Before they are made.
  const std::vector<std::string> missing =
      Refresh({"daily_message_stats"}, grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(missing, ElementsAre("daily_message_stats: BEGUN", "daily_message_stats: FAILED"));
  EXPECT_EQ(details_.info.reason(), "UPKEEP_FAILED");

  for (const OptimizationSet set : {OPTIMIZATION_SET_BASE, OPTIMIZATION_SET_ADDITIONAL}) {
    const std::vector<std::string> made = Optimize(set);
    EXPECT_THAT(Ended(made, "MADE"), Not(IsEmpty()));
    EXPECT_EQ(2 * Ended(made, "BEGUN").size(), made.size());
    const std::vector<std::string> again = Optimize(set);
    EXPECT_EQ(again.size(), made.size());
    EXPECT_THAT(Ended(again, "MADE"), IsEmpty());
    EXPECT_EQ(Ended(again, "THERE").size() + Ended(again, "SERVED").size(), made.size() / 2);
  }

  // A reader of a view goes on, and so does who computes it.
  const testing::Transaction reader(server_->database(), "select * from daily_message_stats");
  EXPECT_EQ(Ended(Refresh({}), "REFRESHED concurrently").size(), 6u);
  EXPECT_THAT(
      Refresh({"weekly_message_stats", "daily_message_stats"}),
      ElementsAre("weekly_message_stats: BEGUN", "weekly_message_stats: REFRESHED concurrently",
                  "daily_message_stats: BEGUN", "daily_message_stats: REFRESHED concurrently"));
  EXPECT_THAT(Refresh({"daily_message_stats", "quotes"}, grpc::StatusCode::INVALID_ARGUMENT),
              IsEmpty());
  ASSERT_EQ(details_.bad_request.field_violations_size(), 1);
  EXPECT_EQ(details_.bad_request.field_violations(0).field(), "views[1]");
  EXPECT_THAT(details_.bad_request.field_violations(0).description(),
              HasSubstr("weekly_message_stats"));
}

TEST_F(AdminUpkeepTest, WhatIsOutOfOrderIsToldAndMended) {
  server_->database().Run(
      "update pg_index set indisvalid = false where indexrelid = 'quotes_pk'::regclass");
  const std::string valid =
      "select indisvalid from pg_index where indexrelid = 'quotes_pk'::regclass";
  EXPECT_THAT(Ended(Maintain(true), "REBUILT"), ElementsAre("quotes_pk: REBUILT"));
  EXPECT_EQ(Value(valid), "f");
  EXPECT_THAT(Ended(Maintain(false), "REBUILT"), ElementsAre("quotes_pk: REBUILT"));
  EXPECT_EQ(Value(valid), "t");
  EXPECT_THAT(Ended(Maintain(false), "REBUILT"), IsEmpty());
  // What was looked at is told, too.
  server_->database().Run("insert into quotes (quote) values ('a'); analyze quotes");
  EXPECT_THAT(Maintain(true), Contains("quotes_pk: THERE"));
}

TEST_F(AdminUpkeepTest, WhoIsGoneIsNotWorkedFor) {
  // Somebody else works on the database.
  const testing::Transaction somebody(server_->database(),
                                      "select pg_advisory_lock(x'7477692d75706b70'::bigint)");
  ApplyOptimizationsRequest request;
  request.set_set(OPTIMIZATION_SET_BASE);
  ApplyOptimizationsResponse response;
  auto conversation = Begin("ApplyOptimizations", request);
  ASSERT_TRUE(conversation->Read(&response));
  EXPECT_EQ(response.step().outcome(), UPKEEP_OUTCOME_WAITING);
  conversation->context().TryCancel();
  EXPECT_EQ(conversation->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually(kNobodyWaits));

  conversation = Begin("ApplyOptimizations", request, std::chrono::seconds(1));
  while (conversation->Read(&response)) {
  }
  EXPECT_EQ(conversation->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Eventually(kNobodyWaits));
  EXPECT_EQ(Value("select to_regclass('idx_messages_created_at') is null"), "t");
}

TEST_F(AdminUpkeepTest, OneOfAKindIsDoneAtATime) {
  auto somebody = std::make_unique<testing::Transaction>(
      server_->database(), "select pg_advisory_lock(x'7477692d75706b70'::bigint)");
  MaintainIndexesRequest request;
  request.set_dry_run(true);
  MaintainIndexesResponse response;
  const auto first = Begin("MaintainIndexes", request);
  const auto second = Begin("MaintainIndexes", request);
  EXPECT_TRUE(
      Eventually("select count(*) = 1 from pg_stat_activity where datname = current_database()"
                 " and query like 'select pg_try_advisory_lock(%'"));
  somebody->End();
  for (const auto* conversation : {&first, &second}) {
    while ((*conversation)->Read(&response)) {
    }
    EXPECT_TRUE((*conversation)->Finish().ok());
  }
}

TEST_F(AdminUpkeepTest, AServerThatEndsDoesNotWaitForAStep) {
  server_->database().Run(
      "create materialized view daily_message_stats as select 1 as day, 2 as other;"
      "create unique index on daily_message_stats (day)");
  const testing::Database* database = &server_->database();
  auto somebody = std::make_unique<testing::Transaction>(
      *database, "refresh materialized view daily_message_stats");
  RefreshMaterializedViewsRequest request;
  request.add_views("daily_message_stats");
  RefreshMaterializedViewsResponse response;
  const auto conversation = Begin("RefreshMaterializedViews", request);
  ASSERT_TRUE(conversation->Read(&response));
  EXPECT_EQ(response.step().outcome(), UPKEEP_OUTCOME_BEGUN);
  EXPECT_TRUE(
      Eventually("select count(*) = 1 from pg_stat_activity where datname = current_database()"
                 " and query like 'refresh %' and wait_event_type = 'Lock'"));
  // With a step that waits for ever, this would, too.
  server_ = nullptr;
  EXPECT_FALSE(conversation->Finish().ok());
}

}  // namespace
}  // namespace twi::server

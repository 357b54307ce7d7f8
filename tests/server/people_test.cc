// What people do, where calls meet and travel as one statement. One call at a time is told in
// tests/cases.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/support/running_server.h"
#include "tests/support/together.h"
#include "twi/data/v1/command_history.pb.h"
#include "twi/data/v1/members.pb.h"
#include "twi/data/v1/reactions.pb.h"
#include "twi/data/v1/users.pb.h"

namespace twi::server {
namespace {

using testing::RunningServer;

constexpr int kCallers = 16;
constexpr int kCalls = 25;

class PeopleTest : public ::testing::Test {
 protected:
  /// `UsersService/GetUser`
  void Call(const std::string& method, const google::protobuf::Message& request,
            google::protobuf::Message* response = nullptr) {
    const grpc::Status status = server_.Call("/twi.data.v1." + method, request, response);
    EXPECT_TRUE(status.ok()) << method << ": " << status.error_message();
  }

  std::string Value(const std::string& query) { return server_.database().Value(query); }

  /// Callers at once, each with its number, each so often.
  template <typename Caller>
  static void Together(Caller caller) {
    testing::Together(kCallers, [&caller](int i) {
      for (int call = 0; call < kCalls; ++call) caller(i, call);
    });
  }

  RunningServer server_;
};

TEST_F(PeopleTest, WhoIsMetByManyAtOnceIsAddedOnce) {
  std::atomic<int> created = 0;
  const auto ensure_all = [&] {
    Together([&](int caller, int call) {
      data::v1::EnsureUserRequest request;
      data::v1::EnsureUserResponse response;
      // Every second caller has the same user in mind.
      request.set_user_id(1 + kCalls * (caller / 2) + call);
      request.mutable_created_at();
      request.set_username(absl::StrCat("name ", request.user_id()));
      Call("UsersService/EnsureUser", request, &response);
      created += response.created();
    });
  };
  ensure_all();
  EXPECT_EQ(created, kCallers / 2 * kCalls);
  EXPECT_EQ(Value("select count(*) from users where username = 'name ' || user_id"), "200");
  const std::string spent = Value("select last_value from users_serial_id_seq");
  ensure_all();
  EXPECT_EQ(created, kCallers / 2 * kCalls);
  EXPECT_EQ(Value("select last_value from users_serial_id_seq"), spent);
}

TEST_F(PeopleTest, EachInteractionKnowsItsOwnNumber) {
  std::mutex mutex;
  std::map<int64_t, int64_t> times;  // Of the interactions, by their numbers.
  const auto record_all = [&](const std::string& server_name) {
    Together([&](int caller, int call) {
      data::v1::RecordInteractionRequest request;
      data::v1::RecordInteractionResponse response;
      request.mutable_user()->set_user_id(1 + caller);
      request.mutable_user()->set_username(absl::StrCat("name ", caller));
      request.mutable_server()->set_server_id(1);
      request.mutable_server()->set_server_name(server_name);
      request.mutable_channel()->set_id(1 + call % 2);
      request.mutable_channel()->set_name("general");
      request.mutable_start_date()->set_seconds(100 * caller + call);
      Call("CommandHistoryService/RecordInteraction", request, &response);
      const std::scoped_lock lock(mutex);
      EXPECT_TRUE(times.emplace(response.serial(), 100 * caller + call).second);
    });
  };
  const char* parents =
      "select concat_ws(' ', (select string_agg(ctid::text, '' order by user_id) from users), "
      "(select ctid from servers), (select string_agg(ctid::text, '' order by id) from channels), "
      "(select last_value from users_serial_id_seq), (select last_value from "
      "servers_serial_id_seq))";
  record_all("Inn");
  EXPECT_EQ(Value("select concat_ws(' ', (select count(*) from users), (select count(*) from "
                  "servers), (select count(*) from channels))"),
            absl::StrCat(kCallers, " 1 2"));
  const std::string before = Value(parents);
  record_all("Inn");
  EXPECT_EQ(Value(parents), before);
  record_all("Other");
  EXPECT_EQ(Value("select string_agg(server_name, ',') from servers"), "Other");
  const std::string told = absl::StrJoin(times, " ", absl::PairFormatter("/"));
  EXPECT_EQ(Value("select string_agg(concat_ws('/', serial, extract(epoch from start_date)::int), "
                  "' ' order by serial) from command_history"),
            told);

  Together([&](int caller, int call) {
    data::v1::CompleteCommandRequest request;
    request.set_serial(std::next(times.begin(), kCalls * caller + call)->first);
    request.mutable_run_time()->set_seconds(request.serial());
    request.mutable_end_date();
    Call("CommandHistoryService/CompleteCommand", request);
  });
  EXPECT_EQ(Value("select count(*) from command_history where finished_successfully and run_time "
                  "= interval '1 s' * serial"),
            absl::StrCat(kCallers * kCalls));
}

TEST_F(PeopleTest, ReactionsComeAndGoAllAtOnce) {
  const auto set_emoji = [](int call, auto* request) {
    if (call % 2 == 0) request->set_unicode("🐸");
  };
  const auto upsert_all = [&] {
    std::atomic<int> added = 0;
    Together([&](int caller, int call) {
      data::v1::UpsertReactionRequest request;
      data::v1::UpsertReactionResponse response;
      request.set_message_id(1 + call / 4);
      request.set_user_id(1 + caller);
      set_emoji(call, &request);
      if (call % 2 == 1) request.mutable_custom()->set_emoji_id(1 + call % 4);
      request.mutable_date();
      Call("ReactionsService/UpsertReaction", request, &response);
      added += response.added();
    });
    return added.load();
  };
  // Of four calls of one message two have the same emoji.
  const int distinct =
      std::stoi(Value(absl::StrCat("select count(*) from (select distinct c / 4, case when c % 2 = "
                                   "0 then 0 else 1 + c % 4 end, u "
                                   "from generate_series(0, ",
                                   kCalls - 1, ") c, generate_series(1, ", kCallers, ") u) d")));
  const std::string standing = "select count(*) from reactions where not removed";
  EXPECT_EQ(upsert_all(), distinct);
  EXPECT_EQ(Value(standing), absl::StrCat(distinct));
  EXPECT_EQ(upsert_all(), 0);
  Together([&](int caller, int call) {
    data::v1::MarkReactionRemovedRequest request;
    request.set_message_id(1 + call / 4);
    request.set_user_id(1 + caller);
    set_emoji(call, &request);
    if (call % 2 == 1) request.set_emoji_id(1 + call % 4);
    Call("ReactionsService/MarkReactionRemoved", request);
  });
  EXPECT_EQ(Value(standing), "0");
  EXPECT_EQ(upsert_all(), distinct);
  EXPECT_EQ(Value("select count(*) from reactions where not removed"), absl::StrCat(distinct));
  EXPECT_EQ(Value("select count(*) from reactions"), absl::StrCat(distinct));
}

TEST_F(PeopleTest, WhatSomebodyElseAddsMeanwhileIsMet) {
  // The calls begin while these are there for nobody else to see.
  std::thread writer([&] {
    server_.database().Run(
        "begin; insert into users (user_id, username) values (1, 'old');"
        "insert into reactions (message_id, user_id, unicode_emoji, date) values (9, 1, '🐸', "
        "now());"
        "insert into reactions (message_id, user_id, emoji_id, date) values (9, 2, 7, now());"
        "lock updates in exclusive mode; select pg_sleep(1); commit");
  });
  while (Value("select count(*) from pg_locks where relation = 'updates'::regclass and mode = "
               "'ExclusiveLock'") == "0") {
  }
  std::thread user([&] {
    data::v1::UpsertUserRequest request;
    data::v1::UpsertUserResponse response;
    request.set_user_id(1);
    request.set_username("new");
    request.mutable_created_at();
    Call("UsersService/UpsertUser", request, &response);
    EXPECT_FALSE(response.created());
    EXPECT_TRUE(response.renamed());
  });
  for (const bool unicode : {true, false}) {
    data::v1::UpsertReactionRequest request;
    data::v1::UpsertReactionResponse response;
    request.set_message_id(9);
    request.set_user_id(unicode ? 1 : 2);
    request.mutable_date();
    if (unicode) {
      request.set_unicode("🐸");
    } else {
      request.mutable_custom()->set_emoji_id(7);
    }
    Call("ReactionsService/UpsertReaction", request, &response);
    EXPECT_FALSE(response.added());
  }
  user.join();
  writer.join();
  EXPECT_EQ(Value("select concat_ws(' ', (select string_agg(username, ',') from users), (select "
                  "count(*) from reactions))"),
            "new 2");
}

TEST_F(PeopleTest, AComingToldManyTimesIsOne) {
  std::atomic<int> recorded = 0;
  Together([&](int, int call) {
    data::v1::RecordMemberJoinRequest request;
    data::v1::RecordMemberJoinResponse response;
    request.set_user_id(1 + call);
    request.set_server_id(1);
    request.mutable_date();
    Call("MembersService/RecordMemberJoin", request, &response);
    recorded += response.recorded();
  });
  EXPECT_EQ(recorded, kCalls);
  EXPECT_EQ(Value("select concat_ws(' ', (select count(*) from join_leave), (select count(*) from "
                  "users), (select count(*) from server_membership))"),
            "25 25 25");
}

}  // namespace
}  // namespace twi::server

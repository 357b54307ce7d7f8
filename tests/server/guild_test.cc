// What happens in a guild, where calls meet and travel as one statement. One call at a time is told
// in tests/cases.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/support/conversation.h"
#include "tests/support/running_server.h"
#include "tests/support/together.h"
#include "twi/data/v1/audit.pb.h"
#include "twi/data/v1/channels.pb.h"
#include "twi/data/v1/roles.pb.h"
#include "twi/data/v1/servers.pb.h"
#include "twi/data/v1/threads.pb.h"
#include "twi/data/v1/voice_activity.pb.h"

namespace twi::server {
namespace {

using data::v1::SyncGuildRequest;
using data::v1::SyncGuildResponse;
using testing::Conversation;
using testing::RunningServer;

constexpr int kCallers = 16;
constexpr int kCalls = 20;

class GuildTest : public ::testing::Test {
 protected:
  /// `RolesService/GetRole`
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

  /// Streams all objects in; how many of them were created, updated and unchanged.
  SyncGuildResponse Sync(const std::vector<SyncGuildRequest>& objects) {
    Conversation conversation(server_.stub(), kSyncGuild);
    for (const SyncGuildRequest& object : objects) EXPECT_TRUE(conversation.Write(object));
    conversation.WritesDone();
    SyncGuildResponse response;
    EXPECT_TRUE(conversation.Read(&response));
    const grpc::Status status = conversation.Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  static constexpr char kSyncGuild[] = "/twi.data.v1.ServersService/SyncGuild";
  RunningServer server_;
};

/// A guild with so many roles, and members with one each: 1 + 3 * `size` objects.
std::vector<SyncGuildRequest> Guild(int size) {
  std::vector<SyncGuildRequest> objects(1 + 3 * static_cast<size_t>(size));
  objects[0].mutable_server()->set_server_id(1);
  for (int i = 1; i <= size; ++i) {
    data::v1::Role& role = *objects[i].mutable_role();
    role.set_id(i);
    role.set_guild_id(1);
    data::v1::User& user = *objects[size + i].mutable_user();
    user.set_user_id(i);
    user.set_username(absl::StrCat("member ", i));
    data::v1::RoleMembership& membership = *objects[2 * size + i].mutable_role_membership();
    membership.set_user_id(i);
    membership.set_role_id(i);
  }
  return objects;
}

TEST_F(GuildTest, AServerThatAllNameAlikeIsWrittenOnce) {
  std::atomic<int> created = 0;
  std::atomic<int> updated = 0;
  const auto upsert_all = [&](const std::string& name) {
    Together([&](int, int call) {
      data::v1::UpsertServerRequest request;
      data::v1::UpsertServerResponse response;
      request.set_server_id(1 + call % 4);
      request.set_server_name(name);
      Call("ServersService/UpsertServer", request, &response);
      created += response.created();
      updated += response.updated();
    });
  };
  upsert_all("Inn");
  EXPECT_EQ(created, 4);
  EXPECT_EQ(updated, 0);
  const std::string versions =
      "select string_agg(concat(server_id, server_name, ctid), ' ' order by server_id) from "
      "servers";
  const std::string before = Value(versions);
  upsert_all("Inn");
  EXPECT_EQ(Value(versions), before);
  EXPECT_EQ(updated, 0);
  upsert_all("Out");
  EXPECT_EQ(created, 4);
  EXPECT_EQ(updated, 4);
  EXPECT_EQ(
      Value("select string_agg(server_id || server_name, ' ' order by server_id) from servers"),
      "1Out 2Out 3Out 4Out");
}

TEST_F(GuildTest, AChannelThatAllNameAlikeIsWrittenOnce) {
  std::atomic<int> created = 0;
  std::atomic<int> updated = 0;
  Together([&](int, int call) {
    data::v1::UpsertInteractionChannelRequest request;
    data::v1::UpsertInteractionChannelResponse response;
    request.set_id(1 + call % 4);
    request.set_name("inn");
    Call("ChannelsService/UpsertInteractionChannel", request, &response);
    created += response.created();
    updated += response.updated();
  });
  EXPECT_EQ(created, 4);
  EXPECT_EQ(updated, 0);
  EXPECT_EQ(Value("select string_agg(id || name, ' ' order by id) from channels"),
            "1inn 2inn 3inn 4inn");
}

TEST_F(GuildTest, TheBooksOfAChannelHaveNoGap) {
  server_.database().Run("insert into channels (id, position, name) values (1, 0, 'inn')");
  Together([&](int caller, int call) {
    data::v1::UpdateChannelRequest request;
    data::v1::UpdateChannelResponse response;
    request.mutable_channel()->set_id(1);
    request.mutable_channel()->set_position(1 + kCalls * caller + call);
    Call("ChannelsService/UpdateChannel", request, &response);
    EXPECT_EQ(response.channel().position(), request.channel().position());
  });
  // Each row begins with what the row before ended with.
  EXPECT_EQ(
      Value("select concat_ws(' ', count(*), count(*) filter (where before = last)) from ("
            "  select before, lag(after, 1, '0') over (order by serial_id) as last from updates"
            ") u"),
      absl::StrCat(kCallers * kCalls, " ", kCallers * kCalls));
  EXPECT_EQ(Value("select after from updates order by serial_id desc limit 1"),
            Value("select position from channels"));
}

TEST_F(GuildTest, MembersComeAndGoAllAtOnce) {
  std::atomic<int> created = 0;
  std::atomic<int> removed = 0;
  Together([&](int caller, int call) {
    data::v1::AddThreadMemberRequest request;
    data::v1::AddThreadMemberResponse response;
    // Every second caller has the same user in mind.
    request.set_user_id(1 + caller / 2);
    request.set_thread_id(1 + call);
    Call("ThreadsService/AddThreadMember", request, &response);
    created += response.created();
  });
  EXPECT_EQ(created, kCallers / 2 * kCalls);
  EXPECT_EQ(Value("select count(*) from thread_membership"), absl::StrCat(created.load()));
  Together([&](int caller, int call) {
    data::v1::RemoveThreadMemberRequest request;
    data::v1::RemoveThreadMemberResponse response;
    request.set_user_id(1 + caller / 2);
    request.set_thread_id(1 + call);
    Call("ThreadsService/RemoveThreadMember", request, &response);
    removed += response.removed();
  });
  EXPECT_EQ(removed, created);
  EXPECT_EQ(Value("select count(*) from thread_membership"), "0");
}

TEST_F(GuildTest, AMembershipThatAllTellIsOne) {
  server_.database().Run(
      "insert into roles (id) select generate_series(1, 20); "
      "insert into users (user_id, username) select n, '' from generate_series(1, 8) n");
  std::atomic<int> created = 0;
  Together([&](int caller, int call) {
    data::v1::AddRoleMembershipRequest request;
    data::v1::AddRoleMembershipResponse response;
    request.set_user_id(1 + caller / 2);
    request.set_role_id(1 + call);
    Call("RolesService/AddRoleMembership", request, &response);
    created += response.created();
  });
  EXPECT_EQ(created, kCallers / 2 * kCalls);
  EXPECT_EQ(Value("select count(*) from role_membership"), absl::StrCat(created.load()));
}

TEST_F(GuildTest, AGuildThatAllTakeOverIsWrittenOnce) {
  const std::vector<SyncGuildRequest> objects = Guild(100);
  std::atomic<int64_t> created = 0;
  std::atomic<int64_t> unchanged = 0;
  const auto sync_all = [&] {
    testing::Together(8, [&](int) {
      const SyncGuildResponse response = Sync(objects);
      EXPECT_EQ(response.updated(), 0);
      created += response.created();
      unchanged += response.unchanged();
    });
  };
  sync_all();
  EXPECT_EQ(created, 301);
  EXPECT_EQ(unchanged, 7 * 301);
  const std::string versions =
      "select md5(concat((select string_agg(concat(server_id, ctid), '') from servers), "
      "(select string_agg(concat(id, ctid), '' order by id) from roles), "
      "(select string_agg(concat(user_id, ctid), '' order by user_id) from users)))";
  const std::string before = Value(versions);
  sync_all();
  EXPECT_EQ(created, 301);
  EXPECT_EQ(unchanged, 15 * 301);
  EXPECT_EQ(Value(versions), before);
}

TEST_F(GuildTest, AGuildThatLacksARoleIsTakenOverUpToIt) {
  std::vector<SyncGuildRequest> objects = Guild(100);
  objects[280].mutable_role_membership()->set_role_id(101);
  Conversation conversation(server_.stub(), kSyncGuild);
  for (const SyncGuildRequest& object : objects) {
    if (!conversation.Write(object)) break;
  }
  conversation.WritesDone();
  const grpc::Status status = conversation.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(testing::DetailsOf(status).info.metadata().at("requests_done"), "256");
  EXPECT_EQ(Value("select (select count(*) from servers) + (select count(*) from roles) + (select "
                  "count(*) from users) + (select count(*) from role_membership)"),
            "256");
  // What is done already is passed over.
  objects[280] = Guild(100)[280];
  const SyncGuildResponse response = Sync(objects);
  EXPECT_EQ(response.created(), 45);
  EXPECT_EQ(response.unchanged(), 256);
}

TEST_F(GuildTest, VoiceIsRecordedWholeWhoeverElseSpeaks) {
  Together([&](int caller, int call) {
    data::v1::RecordVoiceStateRequest request;
    data::v1::RecordVoiceStateResponse response;
    // Two callers tell of the same user.
    request.set_user_id(1 + caller / 2);
    request.set_username(absl::StrCat("name ", request.user_id()));
    request.set_guild_id(1);
    request.mutable_before()->mutable_channel()->set_id(1 + call);
    request.mutable_after()->mutable_channel()->set_id(2 + call);
    request.mutable_after()->set_self_mute(caller % 2 == 1);
    request.mutable_timestamp()->set_seconds(kCalls * caller + call);
    Call("VoiceActivityService/RecordVoiceState", request, &response);
    EXPECT_EQ(response.activity_count(), 2);
    EXPECT_EQ(response.update_count(), caller % 2);
  });
  EXPECT_EQ(Value("select string_agg(username, ',' order by user_id) from users"),
            "name 1,name 2,name 3,name 4,name 5,name 6,name 7,name 8");
  EXPECT_EQ(Value("select count(*) from channels where guild_id = 1"), absl::StrCat(kCalls + 1));
  EXPECT_EQ(Value("select count(*) from updates"), absl::StrCat(kCallers / 2 * kCalls));
  // After each row of who left comes the one of where the user went.
  EXPECT_EQ(Value("select count(*) from voice_activity l join voice_activity j on j.id > l.id "
                  "and j.user_id = l.user_id and j.channel_id = l.channel_id + 1 "
                  "and j.timestamp = l.timestamp where l.action = 'left' and j.action = 'joined'"),
            absl::StrCat(kCallers * kCalls));
}

TEST_F(GuildTest, EveryWordOfTheTrailIsKept) {
  Together([&](int caller, int call) {
    data::v1::LogUpdateRequest request;
    request.set_updated_table("users");
    request.set_action("UPDATE_NICK");
    request.set_primary_key(absl::StrCat(call % 2));
    request.set_after(absl::StrCat(caller, "/", call));
    Call("AuditService/LogUpdate", request);
  });
  EXPECT_EQ(Value("select concat_ws(' ', count(*), count(distinct after)) from updates"),
            absl::StrCat(kCallers * kCalls, " ", kCallers * kCalls));
}

}  // namespace
}  // namespace twi::server

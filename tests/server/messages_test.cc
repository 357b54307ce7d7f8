// MessagesService where calls meet, in streams, and on tables of some size: on the whole way. One
// call at a time is told in tests/cases.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/support/conversation.h"
#include "tests/support/running_server.h"
#include "tests/support/together.h"
#include "twi/data/v1/messages.pb.h"

namespace twi::server {
namespace {

using data::v1::ImportMessagesRequest;
using data::v1::ImportMessagesResponse;
using data::v1::Message;
using data::v1::RecordMessageEditRequest;
using data::v1::RecordMessageEditResponse;
using data::v1::SaveMessageRequest;
using data::v1::SaveMessageResponse;
using data::v1::StreamMessagesRequest;
using data::v1::StreamMessagesResponse;
using testing::Conversation;
using testing::RunningServer;

constexpr char kService[] = "/twi.data.v1.MessagesService/";

/// A message of one channel and author with an embed, whose title and field say whose it is, and
/// two mentions.
Message MessageOf(int64_t id) {
  Message message;
  message.set_message_id(id);
  message.mutable_created_at()->set_seconds(1'000'000 + id / 2);
  message.set_content(absl::StrCat("message ", id));
  message.set_server_name("Inn");
  message.set_server_id(1);
  message.set_channel_id(2);
  message.set_user_id(3);
  auto* embed = message.add_embeds();
  embed->set_title(absl::StrCat(id));
  embed->add_fields()->set_name(absl::StrCat(id));
  message.add_attachments()->set_id(id);
  message.add_user_mentions(id);
  message.add_user_mentions(1'000'000);
  return message;
}

class MessagesTest : public ::testing::Test {
 protected:
  grpc::Status Call(const char* method, const google::protobuf::Message& request,
                    google::protobuf::Message* response) {
    return server_.Call(std::string(kService) + method, request, response);
  }

  /// Saves messages from, to - 1; how many were new.
  int64_t Import(int64_t from, int64_t to) {
    Conversation conversation(server_.stub(), std::string(kService) + "ImportMessages");
    for (int64_t id = from; id < to; ++id) {
      ImportMessagesRequest request;
      *request.mutable_message() = MessageOf(id);
      EXPECT_TRUE(conversation.Write(request));
    }
    conversation.WritesDone();
    ImportMessagesResponse response;
    EXPECT_TRUE(conversation.Read(&response));
    EXPECT_TRUE(conversation.Finish().ok());
    EXPECT_EQ(response.created() + response.existing(), to - from);
    return response.created();
  }

  std::string Value(const std::string& query) { return server_.database().Value(query); }

  RunningServer server_;
};

constexpr char kRows[] =
    "select concat_ws(' ', (select count(*) from messages), (select count(*) from attachments), "
    "(select count(*) from embeds), (select count(*) from embed_fields), "
    "(select count(*) from mentions))";

// What was drawn from sequences, and where the rows that every call refers to lie: an update would
// move them.
constexpr char kSpent[] =
    "select concat_ws(' ', (select last_value from servers_serial_id_seq), "
    "(select last_value from users_serial_id_seq), (select last_value from embeds_id_seq), "
    "(select last_value from mentions_serial_id_seq), (select ctid from servers), "
    "(select ctid from users))";

TEST_F(MessagesTest, CallersWhoSaveTogetherSpendNothingTwice) {
  constexpr int kCallers = 16;
  const auto save_all = [this](bool created) {
    testing::Together(kCallers, [&](int caller) {
      for (int i = 1; i <= 25; ++i) {
        SaveMessageRequest request;
        SaveMessageResponse response;
        *request.mutable_message() = MessageOf(100 * caller + i);
        request.mutable_author()->set_username(absl::StrCat("name ", caller));
        ASSERT_TRUE(Call("SaveMessage", request, &response).ok());
        EXPECT_EQ(response.created(), created);
      }
    });
    EXPECT_EQ(Value(kRows), "400 400 400 400 800");
  };
  save_all(true);
  // Those who come first may draw for the same user at once.
  EXPECT_LE(std::stoi(Value("select last_value from servers_serial_id_seq")), kCallers);
  EXPECT_LE(std::stoi(Value("select last_value from users_serial_id_seq")), kCallers);
  const std::string spent = Value(kSpent);
  save_all(false);
  EXPECT_EQ(Value(kSpent), spent);
}

TEST_F(MessagesTest, WhatStreamsInHangsOnItsMessage) {
  EXPECT_EQ(Import(1, 501), 500);
  EXPECT_EQ(Import(301, 1001), 500);
  EXPECT_EQ(Value(kRows), "1000 1000 1000 1000 2000");
  EXPECT_EQ(
      Value("select count(*) from messages m join embeds e using (message_id) "
            "join embed_fields f on f.embed_id = e.id join attachments a using (message_id) "
            "join mentions n on n.message_id = m.message_id and n.user_mention = e.title::bigint "
            "where m.message_id::text = all (array[e.title, f.name, a.id::text])"),
      "1000");
}

TEST_F(MessagesTest, AStreamOutHasEachMessageOnceInItsOrder) {
  Import(1, 1201);
  StreamMessagesRequest request;
  request.set_channel_id(2);
  request.mutable_start_time()->set_seconds(1'000'001);
  Conversation conversation(server_.stub(), std::string(kService) + "StreamMessages");
  ASSERT_TRUE(conversation.Write(request));
  conversation.WritesDone();
  StreamMessagesResponse portion;
  int portions = 0;
  int64_t id = 2;  // The first that was written at that time.
  for (; conversation.Read(&portion); ++portions) {
    for (const Message& message : portion.messages()) {
      EXPECT_EQ(message.message_id(), id);
      EXPECT_EQ(message.embeds_size(), 1);
      EXPECT_EQ(message.embeds(0).title(), absl::StrCat(id));
      EXPECT_EQ(message.embeds(0).fields(0).name(), absl::StrCat(id));
      EXPECT_EQ(message.attachments_size(), 1);
      EXPECT_EQ(message.attachments(0).id(), id);
      EXPECT_EQ(message.user_mentions_size(), 2);
      ++id;
    }
  }
  EXPECT_TRUE(conversation.Finish().ok());
  EXPECT_EQ(id, 1201);
  EXPECT_GT(portions, 1);
}

TEST_F(MessagesTest, EditsOfOneMessageFollowEachOther) {
  Import(1, 2);
  testing::Together(8, [&](int caller) {
    for (int i = 0; i < 20; ++i) {
      RecordMessageEditRequest request;
      RecordMessageEditResponse response;
      request.set_message_id(1);
      request.set_new_content(absl::StrCat("edit ", caller, " ", i));
      request.mutable_edit_timestamp()->set_seconds(i);
      ASSERT_TRUE(Call("RecordMessageEdit", request, &response).ok());
      EXPECT_TRUE(response.stored());
    }
  });
  EXPECT_EQ(
      Value("select concat_ws(' ', count(*), count(*) filter (where old_content = before)) from "
            "(select old_content, lag(new_content, 1, 'message 1') over (order by serial_id) "
            "as before from message_edit) e"),
      "160 160");
  EXPECT_EQ(Value("select content = (select new_content from message_edit order by serial_id desc "
                  "limit 1) from messages"),
            "t");
}

TEST_F(MessagesTest, AnEditWaitsForAnotherWritersAndTellsItsText) {
  Import(1, 2);
  std::thread writer([&] {
    server_.database().Run(
        "begin; update messages set content = 'by somebody else'; select pg_sleep(0.5); commit");
  });
  while (Value("select count(*) from pg_locks l join pg_class c on c.oid = l.relation "
               "where c.relname = 'messages' and l.mode = 'RowExclusiveLock'") == "0" &&
         Value("select content from messages") == "message 1") {
  }
  RecordMessageEditRequest request;
  RecordMessageEditResponse response;
  request.set_message_id(1);
  request.set_new_content("mine");
  request.mutable_edit_timestamp()->set_seconds(1);
  EXPECT_TRUE(Call("RecordMessageEdit", request, &response).ok());
  writer.join();
  EXPECT_EQ(response.old_content(), "by somebody else");
  EXPECT_EQ(Value("select content from messages"), "mine");
}

}  // namespace
}  // namespace twi::server

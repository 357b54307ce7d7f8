// What readers of the bot saw when its cache was wrong, on a server that keeps answers. That a
// write of somebody else ends them, `Cached` of tests/cases shows for each operation.

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "proto/descriptor_names.h"
#include "tests/support/running_server.h"

namespace twi::server {
namespace {

using google::protobuf::Message;

class KeptOperationsTest : public ::testing::Test {
 protected:
  struct Got {
    std::string response;
    bool hit = false;
  };

  /// `request` is a message as text. The call must succeed.
  Got Call(const std::string& name, const std::string& request, const char* freshness = "bounded") {
    const auto* method = Method(name);
    const std::unique_ptr<Message> sent = New(method->input_type());
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(request, sent.get())) << request;
    const std::unique_ptr<Message> response = New(method->output_type());
    grpc::ClientContext context;
    context.AddMetadata("x-freshness", freshness);
    const grpc::Status status =
        server_.Call(absl::StrCat("/twi.data.v1.", name), *sent, response.get(), &context);
    EXPECT_TRUE(status.ok()) << name << ": " << status.error_message();
    const auto cache = context.GetServerTrailingMetadata().find("x-cache");
    return {response->ShortDebugString(),
            cache != context.GetServerTrailingMetadata().end() && cache->second == "hit"};
  }

  template <typename Condition>
  static void Until(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "waited in vain";
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

  testing::RunningServer server_{/*caching=*/true};

 private:
  static const google::protobuf::MethodDescriptor* Method(const std::string& name) {
    const auto* method = google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(
        "twi.data.v1." + std::string(absl::StrReplaceAll(name, {{"/", "."}})));
    EXPECT_NE(method, nullptr) << name;
    return method;
  }
  static std::unique_ptr<Message> New(const google::protobuf::Descriptor* type) {
    return std::unique_ptr<Message>(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
  }
};

TEST_F(KeptOperationsTest, ARandomQuoteIsNotTheSameForAll) {
  server_.database().Run(
      "insert into quotes (quote) select 'quote ' || i from generate_series(1, 20) i");
  std::set<std::string> quotes;
  for (int i = 0; i < 100; ++i) quotes.insert(Call("QuotesService/GetRandomQuote", "").response);
  EXPECT_GT(quotes.size(), 5u);
}

TEST_F(KeptOperationsTest, APollIsOverWhenItsTimeHasCome) {
  server_.database().Run(
      "insert into poll (id, title, expire_date) values (1, 'Who?', now() + interval '1 second')");
  // Nothing is written meanwhile that could end a kept answer.
  Until([&] { return !Call("PollsService/ListOverduePolls", "").response.empty(); });
  EXPECT_EQ(Call("PollsService/ListActivePolls", "").response, "");
}

TEST_F(KeptOperationsTest, WhoWritesReadsIt) {
  server_.database().Run(
      "insert into servers (server_id) values (11); insert into channels (id, name) values (21, "
      "'inn'); "
      "insert into roles (id, name, guild_id) values (61, 'ping', 11); "
      "insert into quotes (quote) values ('Levels.'); "
      "insert into password_link (password, link) values ('old', 'https://example.org/')");
  struct Pair {
    const char* read;
    const char* request;
    const char* write;
    const char* change;
    const char* seen;  ///< In the answer from then on.
  };
  for (const Pair& pair : std::initializer_list<Pair>{
           {"PinsService/ListPinChannels", "", "PinsService/SetChannelPinsAllowed",
            "channel_id: 21 allowed: true", "21"},
           {"QuotesService/CountQuotes", "", "QuotesService/CreateQuote", "quote: 'Sing to me.'",
            "2"},
           {"QuotesService/ListQuotes", "", "QuotesService/CreateQuote", "quote: 'Another.'",
            "Another."},
           {"TwiContentService/GetCurrentPassword", "", "TwiContentService/CreatePassword",
            "password: 'new' link: 'https://example.org/' user_id: 3", "new"},
           {"RolesService/ListSelfAssignableRoles", "guild_id: 11",
            "RolesService/EnableSelfAssignableRole", "id: 61 guild_id: 11", "ping"}}) {
    SCOPED_TRACE(pair.read);
    Until([&] { return Call(pair.read, pair.request).hit; });
    EXPECT_THAT(Call(pair.read, pair.request).response,
                ::testing::Not(::testing::HasSubstr(pair.seen)));
    Call(pair.write, pair.change);
    EXPECT_THAT(Call(pair.read, pair.request).response, ::testing::HasSubstr(pair.seen));
  }
}

}  // namespace
}  // namespace twi::server

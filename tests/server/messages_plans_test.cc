// How much of large tables the statements of MessagesService touch, planned once for all arguments.

#include "tests/support/plans_fixture.h"
#include "twi/data/v1/messages.pb.h"

namespace twi::server {
namespace {

using repositories::Operation;

// 30,000 messages of ten channels and 1,000 users, every fourth with one of each that hangs on it:
// each table has hundreds of pages.
constexpr char kTables[] = R"(
insert into servers (server_id) select i from generate_series(1, 20000) i;
insert into users (user_id, username) select i, 'somebody' from generate_series(1, 20000) i;
insert into messages (message_id, created_at, content, server_name, server_id, channel_id, user_id, jump_url,
                      is_bot)
select i, timestamp '2020-01-01' + i * interval '1 minute', repeat('text ', 20), 'Inn', 1, i % 10,
       1 + i % 1000, '', false
from generate_series(1, 30000) i;
insert into attachments (id, message_id, url) select i, i, repeat('u', 300) from generate_series(1, 30000, 4) i;
insert into embeds (message_id, description) select i, repeat('d', 300) from generate_series(1, 30000, 4) i;
insert into embed_fields (embed_id, name, value) select id, repeat('n', 300), '' from embeds;
insert into mentions (message_id, user_mention) select i, 1 from generate_series(1, 30000) i;
insert into mentions (message_id, role_mention) select i, 1 from generate_series(1, 30000) i;
insert into message_edit (id, edit_timestamp) select i, now() from generate_series(1, 30000) i;
vacuum analyze;
)";

struct Look {
  const char* method;
  const char* arguments;  ///< SQL.
  int pages;              ///< That it may touch.
};

class MessagesPlansTest : public testing::PlansTest {
 protected:
  MessagesPlansTest() : PlansTest(kTables) {}
};

TEST_F(MessagesPlansTest, EachStatementTouchesFewPages) {
  for (const auto& [method, arguments, pages] : std::initializer_list<Look>{
           {"GetMessage", "5", 60},
           {"GetMessageContent", "5", 5},
           {"StreamMessages", "5, null, null, 11", 250},
           {"StreamMessages", "5, '2020-01-10', '2020-01-20', 11", 250},
           {"StreamUserMessages", "5, null, null, 11", 250},
           {"ListMessageIds", "5, '2020-01-10', null, 101", 20},
           {"FindMissingMessageIds", "array[5, 6, 40000]", 25},
           {"GetLastMessageTime", "5", 10},
           {"GetLastMessageTimes", "array[5, 6, 77]", 30},
           {"RecordMessageEdit",
            R"('[{"message_id": 7, "new_content": "", "edit_timestamp": "2020-01-01"}]')", 150},
           {"UpdateMessageContent", "'', 8", 50},
           {"MarkMessageDeleted", R"('[{"message_id": 9}]')", 50},
           {"BatchMarkMessagesDeleted", "array[10, 11]", 150},
           {"SaveMessage", R"('[{"message": {"message_id": 5, "created_at": "2020-01-01",
             "server_id": 1, "channel_id": 2, "user_id": 3, "jump_url": "", "is_bot": false,
             "deleted": false, "attachments": [], "embeds": [], "user_mentions": [],
             "role_mentions": []}}]')",
            60},
           {"SaveMessage", R"('[{"message": {"message_id": 50000, "created_at": "2020-01-01",
             "server_id": 1, "channel_id": 2, "user_id": 3, "jump_url": "", "is_bot": false,
             "deleted": false, "attachments": [{"id": 50000}], "embeds": [{"fields": []}],
             "user_mentions": [1], "role_mentions": [1]}}]')",
            350}}) {
    EXPECT_LE(Pages(Find(method).statement().text, arguments), pages) << method << " " << arguments;
  }
  // The portions behind a key.
  for (const char* method : {"StreamMessages", "StreamUserMessages"}) {
    const Operation& operation = Find(method);
    const std::unique_ptr<google::protobuf::Message> request(
        google::protobuf::MessageFactory::generated_factory()
            ->GetPrototype(operation.method()->input_type())
            ->New());
    sql::Execution execution;
    Operation::Progress progress;
    progress.after = {std::string(8, '\0'), std::string(8, '\0')};
    ASSERT_TRUE(operation.BindPortion(*request, progress, &execution).ok());
    EXPECT_LE(Pages(execution.statement->text, "5, null, null, '2020-01-15', 20000, 11"), 250)
        << method;
  }
}

}  // namespace
}  // namespace twi::server

// Runs tests/cases/<service>.textproto: each case is a test `Cases.<service>_<name>`. A list is
// read in pages of one element, too, and must be the same.
//
// Those of reads whose answers may be kept are also tests `Cached.<service>_<name>`: on a server
// that keeps them, until the answers come from its cache, and these must be the same.

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "tests/cases/case_files.h"
#include "tests/support/conversation.h"
#include "tests/support/running_server.h"
#include "twi/data/v1/options.pb.h"

namespace twi::testing {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodOptions;
using google::protobuf::util::MessageDifferencer;
using twi::test::v1::Answer;
using twi::test::v1::Case;

/// Leaves out the fields at paths such as `quote.time`; in lists, of every element.
class IgnorePaths : public MessageDifferencer::IgnoreCriteria {
 public:
  explicit IgnorePaths(const google::protobuf::RepeatedPtrField<std::string>& paths)
      : paths_(paths.begin(), paths.end()) {}

  bool IsIgnored(const Message&, const Message&, const FieldDescriptor* field,
                 const std::vector<MessageDifferencer::SpecificField>& parents) override {
    std::string path;
    for (const auto& parent : parents) path += parent.field->name() + ".";
    return paths_.contains(path + field->name());
  }

 private:
  std::set<std::string> paths_;
};

const google::protobuf::MethodDescriptor* MethodOf(const std::string& name) {
  for (const auto* service : DataServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      if (OperationName(service->method(i)) == name) return service->method(i);
    }
  }
  return nullptr;
}

bool MayBeKept(const google::protobuf::MethodDescriptor& method) {
  return method.options().HasExtension(twi::data::v1::cache);
}

// Makes the database what the migrations left. TRUNCATE takes ten times as long, and looks like a
// change of the schema.
constexpr char kEmpty[] = R"(
do $$
declare
  name regclass;
begin
  set local session_replication_role = replica;
  for name in
    select oid from pg_class
    where relkind = 'r' and relnamespace = 'public'::regnamespace and relname not like 'twi\_data\_%'
  loop
    execute 'delete from ' || name;
  end loop;
  perform setval(oid::regclass, 1, false) from pg_class
  where relkind = 'S' and relnamespace = 'public'::regnamespace;
end $$)";

/// The servers of all cases: one that keeps answers, and one that does not.
class Servers : public ::testing::Environment {
 public:
  /// On an empty database.
  static RunningServer& Get(bool cached) {
    std::unique_ptr<RunningServer>& server = servers[cached];
    if (server == nullptr) server = std::make_unique<RunningServer>(cached);
    server->database().Run(kEmpty);
    return *server;
  }
  void TearDown() override { servers = {}; }

 private:
  inline static std::array<std::unique_ptr<RunningServer>, 2> servers;
};

class CaseTest : public ::testing::Test {
 public:
  CaseTest(Case given, bool cached)
      : case_(std::move(given)), cached_(cached), server_(Servers::Get(cached)) {}

  void TestBody() override {
    const auto* method = MethodOf(case_.method());
    ASSERT_NE(method, nullptr) << "no method " << case_.method();
    if (!case_.given().empty()) server_.database().Run(case_.given());
    std::optional<Transaction> beside;
    if (!case_.beside().empty()) beside.emplace(server_.database(), case_.beside());
    Expect(*method, case_.answer());
    // Once more: the second answer may come from a cache.
    if (!case_.once()) Expect(*method, case_.answer());
    if (cached_) ExpectKept(*method, case_.answer());
    if (!case_.change().empty()) {
      server_.database().Run(case_.change());
      Expect(*method, case_.changed());
      if (cached_) ExpectKept(*method, case_.changed());
    }
    if (!case_.look().empty()) {
      EXPECT_EQ(server_.database().Value(case_.look()), case_.found()) << case_.look();
    }
  }

 private:
  grpc::Status CallUnary(const google::protobuf::MethodDescriptor& method, const Message& request,
                         Message* response) {
    grpc::ClientContext context;
    // What somebody else has just done is in the answer.
    if (cached_) context.AddMetadata("x-freshness", "strict");
    grpc::Status status = server_.Call(PathOf(method), request, response, &context);
    const auto found = context.GetServerTrailingMetadata().find("x-cache");
    was_kept_ = found != context.GetServerTrailingMetadata().end() && found->second == "hit";
    return status;
  }

  grpc::Status Call(const google::protobuf::MethodDescriptor& method,
                    const std::vector<std::unique_ptr<Message>>& requests, Message* response) {
    if (!method.client_streaming() && !method.server_streaming()) {
      return CallUnary(method, *requests.at(0), response);
    }
    Conversation conversation(server_.stub(), PathOf(method));
    for (const auto& request : requests) {
      if (!conversation.Write(*request)) return conversation.Finish();
    }
    conversation.WritesDone();
    // What streams out in portions is compared as one.
    const std::unique_ptr<Message> portion(response->New());
    while (conversation.Read(portion.get())) response->MergeFrom(*portion);
    return conversation.Finish();
  }

  /// Expects it until it comes from the cache, unless it is an error that is not kept.
  void ExpectKept(const google::protobuf::MethodDescriptor& method, const Answer& answer) {
    if (!answer.code().empty() && answer.code() != "NOT_FOUND") return;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    was_kept_ = false;
    while (!was_kept_ && !HasFailure()) {
      ASSERT_LT(std::chrono::steady_clock::now(), end) << "it is never kept";
      Expect(method, answer);
    }
  }

  void Expect(const google::protobuf::MethodDescriptor& method, const Answer& answer) {
    std::vector<std::unique_ptr<Message>> requests;
    for (const auto& request : case_.request()) {
      requests.push_back(Unpack(request));
      ASSERT_NE(requests.back(), nullptr) << "no type " << request.type_url();
      ASSERT_EQ(requests.back()->GetDescriptor(), method.input_type());
    }
    std::unique_ptr<Message> response(google::protobuf::MessageFactory::generated_factory()
                                          ->GetPrototype(method.output_type())
                                          ->New());
    const grpc::Status status = Call(method, requests, response.get());
    const auto code = static_cast<absl::StatusCode>(status.error_code());
    if (!answer.code().empty()) {
      EXPECT_EQ(absl::StatusCodeToString(code), answer.code()) << status.error_message();
      const ErrorDetails details = DetailsOf(status);
      EXPECT_EQ(details.info.domain(), "data.twi");
      EXPECT_EQ(details.info.reason(), answer.reason());
      std::vector<std::string> fields;
      for (const auto& violation : details.bad_request.field_violations()) {
        fields.push_back(violation.field());
      }
      EXPECT_EQ(fields, std::vector<std::string>(answer.field().begin(), answer.field().end()));
      for (const auto& [fact, value] : answer.fact()) {
        const auto found = details.info.metadata().find(fact);
        ASSERT_NE(found, details.info.metadata().end()) << "no " << fact;
        EXPECT_EQ(found->second, value) << fact;
      }
      return;
    }
    ASSERT_TRUE(status.ok()) << status.error_message();
    const auto expected = Unpack(answer.response());
    ASSERT_NE(expected, nullptr) << "no type " << answer.response().type_url();
    ExpectEqual(*expected, *response, answer);
    const auto* token = method.output_type()->FindFieldByName("next_page_token");
    if (token != nullptr && !response->GetReflection()->HasField(*response, token)) {
      ExpectSamePages(method, *requests.at(0), *response, answer);
    }
  }

  static void ExpectEqual(const Message& expected, const Message& response, const Answer& answer) {
    MessageDifferencer differencer;
    differencer.AddIgnoreCriteria(new IgnorePaths(answer.ignore()));
    std::string differences;
    differencer.ReportDifferencesToString(&differences);
    EXPECT_TRUE(differencer.Compare(expected, response)) << differences;
  }

  /// A list that is read in pages of one element is the list that one page told.
  void ExpectSamePages(const google::protobuf::MethodDescriptor& method, const Message& request,
                       const Message& whole, const Answer& answer) {
    std::unique_ptr<Message> next(request.New());
    next->CopyFrom(request);
    next->GetReflection()->SetInt32(next.get(), method.input_type()->FindFieldByName("page_size"),
                                    1);
    const auto* after = method.input_type()->FindFieldByName("page_token");
    const auto* token = method.output_type()->FindFieldByName("next_page_token");
    std::unique_ptr<Message> pages(whole.New());
    for (bool last = false; !last;) {
      std::unique_ptr<Message> page(whole.New());
      const grpc::Status status = CallUnary(method, *next, page.get());
      ASSERT_TRUE(status.ok()) << status.error_message();
      next->GetReflection()->SetString(next.get(), after,
                                       page->GetReflection()->GetString(*page, token));
      last = !page->GetReflection()->HasField(*page, token);
      page->GetReflection()->ClearField(page.get(), token);
      pages->MergeFrom(*page);
      ASSERT_LE(pages->ByteSizeLong(), whole.ByteSizeLong()) << "pages without an end";
    }
    ExpectEqual(whole, *pages, answer);
  }

  const Case case_;
  const bool cached_;
  RunningServer& server_;
  bool was_kept_ = false;  ///< The last answer.
};

/// Every method has a case.
/// Names of cases by method: those whose call succeeds, before or after the change.
using Successes = std::map<std::string, std::set<std::string>>;

bool Succeeds(const Case& given) {
  return given.answer().code().empty() ||
         (!given.change().empty() && given.changed().code().empty());
}

class CoverageTest : public ::testing::Test {
 public:
  /// `changed` are methods whose answers have been looked at again after a change.
  CoverageTest(Successes successes, std::set<std::string> changed)
      : successes_(std::move(successes)), changed_(std::move(changed)) {}

  void TestBody() override {
    for (const auto* service : DataServices()) {
      for (int i = 0; i < service->method_count(); ++i) {
        const auto* method = service->method(i);
        if (ByHand(method)) continue;
        const std::string name = OperationName(method);
        EXPECT_TRUE(successes_.contains(name)) << name << " has no case that succeeds";
        EXPECT_TRUE(changed_.contains(name) ||
                    method->options().idempotency_level() != MethodOptions::NO_SIDE_EFFECTS)
            << name << " has no case with a change";
      }
    }
  }

 private:
  const Successes successes_;
  const std::set<std::string> changed_;
};

/// How many operations the bot had, by what they are about.
const std::map<std::string, int> kOperations = {
    {"AuditService", 1},
    {"BotMetricsService", 2},
    {"ChannelsService", 11},
    {"CommandHistoryService", 3},
    {"Composites", 12},
    {"CreatorLinksService", 7},
    {"EmotesService", 3},
    {"ErrorTelemetryService", 4},
    {"GalleryMementosService", 6},
    {"GalleryMigrationService", 10},
    {"LinksService", 14},
    {"MembersService", 5},
    {"MessagesService", 14},
    {"PinsService", 2},
    {"PollsService", 17},
    {"QuotesService", 7},
    {"ReactionsService", 4},
    {"ReportsService", 5},
    {"RolesService", 13},
    {"SchemaSearchService", 6},
    {"ServerSettingsService", 6},
    {"ServersService", 2},
    {"StatsService", 22},
    {"ThreadsService", 6},
    {"TwiContentService", 5},
    {"UsersService", 7},
    {"VoiceActivityService", 1},
};

/// README.md names a method and a case for everything that the bot did to its database.
class TableTest : public ::testing::Test {
 public:
  TableTest(std::string folder, Successes successes)
      : folder_(std::move(folder)), successes_(std::move(successes)) {}

  void TestBody() override {
    std::map<std::string, int> counts;
    std::set<std::string> told;
    std::ifstream file(folder_ + "/README.md");
    for (std::string line; std::getline(file, line);) {
      const std::vector<std::string> cells = absl::StrSplit(line, " | ");
      if (cells.size() != 3 || !absl::StrContains(cells[1], '/')) continue;
      const std::string operation(absl::StripPrefix(cells[0], "| "));
      const std::string name(absl::StripSuffix(cells[2], " |"));
      const auto found = successes_.find(cells[1]);
      EXPECT_TRUE(found != successes_.end() && found->second.contains(name))
          << cells[1] << " has no case \"" << name << "\" that succeeds";
      EXPECT_TRUE(told.insert(operation).second) << operation << " is there twice";
      ++counts[operation.substr(0, operation.find('/'))];
    }
    EXPECT_EQ(counts, kOperations);
  }

 private:
  const std::string folder_;
  const Successes successes_;
};

void RegisterCases(const std::string& folder) {
  Successes successes;
  std::set<std::string> changed;
  for (const auto& [stem, cases] : ReadCases(folder)) {
    for (const Case& given : cases.case_()) {
      if (!given.change().empty()) changed.insert(given.method());
      if (Succeeds(given)) successes[given.method()].insert(given.name());
      std::string name = stem + "_" + given.name();
      std::replace_if(
          name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
      const auto* method = MethodOf(given.method());
      for (const bool cached : {false, true}) {
        if (cached && (method == nullptr || !MayBeKept(*method))) continue;
        ::testing::RegisterTest(cached ? "Cached" : "Cases", name.c_str(), nullptr, nullptr,
                                __FILE__, __LINE__,
                                [=]() -> ::testing::Test* { return new CaseTest(given, cached); });
      }
    }
  }
  ::testing::RegisterTest(
      "Cases", "EveryMethodHasOne", nullptr, nullptr, __FILE__, __LINE__,
      [=]() -> ::testing::Test* { return new CoverageTest(successes, changed); });
  ::testing::RegisterTest("Cases", "EveryOperationHasOne", nullptr, nullptr, __FILE__, __LINE__,
                          [=]() -> ::testing::Test* { return new TableTest(folder, successes); });
}

}  // namespace
}  // namespace twi::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  ::testing::AddGlobalTestEnvironment(new twi::testing::Servers);
  twi::testing::RegisterCases(TWI_CASES_FOLDER);
  return RUN_ALL_TESTS();
}

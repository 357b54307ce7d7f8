// Every field of every request, filled with what it cannot be: the call is answered
// INVALID_ARGUMENT, naming the field, and nothing else breaks.

#include <gmock/gmock.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/timestamp.pb.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "repositories/field_mask.h"
#include "tests/cases/case_files.h"
#include "tests/support/conversation.h"
#include "tests/support/running_server.h"
#include "twi/data/v1/options.pb.h"
#include "twi/data/v1/quotes.pb.h"

namespace twi::testing {
namespace {

using data::v1::FieldRules;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using google::protobuf::Reflection;
using ::testing::ElementsAre;

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();

/// From the request to a field.
using Fields = std::vector<const FieldDescriptor*>;

/// The field's first element, as violations name it: `embeds[0].title`.
std::string First(const Fields& fields) {
  return absl::StrJoin(fields, ".", [](std::string* out, const FieldDescriptor* field) {
    absl::StrAppend(out, field->name(), field->is_repeated() ? "[0]" : "");
  });
}

/// Something of the message that the fields lead to.
std::string Below(const Fields& above, const std::string& name) {
  return absl::StrCat(First(above), above.empty() ? "" : ".", name);
}

/// The message, or the first one, of a field; one that is new has what it must have.
Message* Reach(Message* message, const FieldDescriptor* field) {
  const Reflection* reflection = message->GetReflection();
  Message* reached = nullptr;
  if (field->is_repeated()) {
    if (reflection->FieldSize(*message, field) > 0) {
      return reflection->MutableRepeatedMessage(message, field, 0);
    }
    reached = reflection->AddMessage(message, field);
  } else {
    if (reflection->HasField(*message, field)) return reflection->MutableMessage(message, field);
    reached = reflection->MutableMessage(message, field);
  }
  const Descriptor* type = field->message_type();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldRules& rules = type->field(i)->options().GetExtension(data::v1::rules);
    if (!rules.id() || type->field(i)->is_repeated()) continue;
    reached->GetReflection()->SetInt64(reached, type->field(i), 1);
  }
  return reached;
}

/// What is told of all calls.
struct Outcome {
  int calls = 0;
  /// Fields that the statement does not take, so that whatever is in them does not matter.
  std::vector<std::string> passed_over;
};

using Requests = std::vector<std::unique_ptr<Message>>;

/// Sends requests in which one field is wrong after the other.
class BadInput {
 public:
  /// `token` is a page token of another method.
  BadInput(RunningServer* server, const MethodDescriptor* method, const Requests* right,
           std::string token, Outcome* outcome)
      : server_(server),
        method_(method),
        right_(right),
        token_(std::move(token)),
        outcome_(outcome) {}

  void Run() { Walk(method_->input_type(), {}); }

 private:
  using Change = std::function<void(Message*, const FieldDescriptor*)>;

  void Walk(const Descriptor* type, const Fields& above) {
    for (int i = 0; i < type->field_count(); ++i) {
      Fields fields = above;
      fields.push_back(type->field(i));
      const FieldDescriptor* field = fields.back();
      TryPresence(fields);
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        TryMessage(fields);
      } else {
        TryValue(fields);
      }
    }
    for (int i = 0; i < type->real_oneof_decl_count(); ++i) {
      const auto* oneof = type->oneof_decl(i);
      if (!oneof->options().GetExtension(data::v1::required)) continue;
      Fields fields = above;
      fields.push_back(oneof->field(0));
      Expect("nothing", fields, Below(above, oneof->name()), true,
             [oneof](Message* message, const FieldDescriptor*) {
               message->GetReflection()->ClearOneof(message, oneof);
             });
    }
  }

  void TryPresence(const Fields& fields) {
    const FieldDescriptor* field = fields.back();
    const FieldRules& rules = field->options().GetExtension(data::v1::rules);
    const std::string path = Below({fields.begin(), fields.end() - 1}, field->name());
    if (rules.required() || rules.min_items() > 0 ||
        (rules.id() && !field->is_repeated() && !field->has_presence())) {
      Expect("nothing", fields, path, true, [](Message* message, const FieldDescriptor* f) {
        message->GetReflection()->ClearField(message, f);
      });
    }
    if (rules.has_max_items()) {
      Expect("too many elements", fields, path, true,
             [&rules](Message* message, const FieldDescriptor* f) {
               for (int i = 0; i <= rules.max_items(); ++i) Add(message, f);
             });
    }
  }

  static void Add(Message* message, const FieldDescriptor* field) {
    const Reflection* reflection = message->GetReflection();
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        reflection->AddMessage(message, field);
        break;
      case FieldDescriptor::CPPTYPE_STRING:
        reflection->AddString(message, field, "");
        break;
      case FieldDescriptor::CPPTYPE_FLOAT:
        reflection->AddFloat(message, field, 0);
        break;
      default:
        reflection->AddInt64(message, field, 1);
    }
  }

  template <typename T>
  static Change Set(T value, void (Reflection::*set)(Message*, const FieldDescriptor*, T) const,
                    void (Reflection::*set_element)(Message*, const FieldDescriptor*, int, T)
                        const) {
    return [=](Message* message, const FieldDescriptor* field) {
      const Reflection* reflection = message->GetReflection();
      if (!field->is_repeated()) return (reflection->*set)(message, field, value);
      if (reflection->FieldSize(*message, field) == 0) Add(message, field);
      (reflection->*set_element)(message, field, 0, value);
    };
  }

  static Change Integer(const FieldDescriptor* field, int64_t value) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT32) {
      return Set(static_cast<int32_t>(value), &Reflection::SetInt32, &Reflection::SetRepeatedInt32);
    }
    return Set(value, &Reflection::SetInt64, &Reflection::SetRepeatedInt64);
  }
  static Change Text(const std::string& value) {
    return Set(value, &Reflection::SetString, &Reflection::SetRepeatedString);
  }

  void TryValue(const Fields& fields) {
    const FieldDescriptor* field = fields.back();
    const FieldRules& rules = field->options().GetExtension(data::v1::rules);
    const std::string path = First(fields);
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        if (field->name() == "page_token") {
          Expect("made-up token", fields, path, true, Text("bm90IGEgdG9rZW4"));
          if (!token_.empty()) Expect("token of another method", fields, path, true, Text(token_));
        }
        Expect("text with NUL", fields, path, true, Text(std::string("a\0b", 3)));
        if (rules.has_max_len()) {
          Expect("text that is too long", fields, path, true,
                 Text(std::string(static_cast<size_t>(rules.max_len()) + 1, 'a')));
        }
        break;
      case FieldDescriptor::CPPTYPE_INT32:
      case FieldDescriptor::CPPTYPE_INT64: {
        const bool small = field->cpp_type() == FieldDescriptor::CPPTYPE_INT32;
        const bool positive = rules.id() || rules.has_page();
        if (positive) Expect("-1", fields, path, true, Integer(field, -1));
        if (rules.has_min())
          Expect("too little", fields, path, true, Integer(field, rules.min() - 1));
        if (rules.has_max())
          Expect("too much", fields, path, true, Integer(field, rules.max() + 1));
        // A column may be smaller than its field.
        if (!rules.has_max()) {
          Expect("the most", fields, path, false,
                 Integer(field, small ? std::numeric_limits<int32_t>::max() : kMost));
        }
        if (!rules.has_min() && !positive) {
          Expect("the least", fields, path, false,
                 Integer(field, small ? std::numeric_limits<int32_t>::min() : kLeast));
        }
        break;
      }
      case FieldDescriptor::CPPTYPE_ENUM:
        Expect("unknown value", fields, path, true,
               Set(999, &Reflection::SetEnumValue, &Reflection::SetRepeatedEnumValue));
        break;
      case FieldDescriptor::CPPTYPE_FLOAT:
        Expect("NaN", fields, path, false,
               Set(std::numeric_limits<float>::quiet_NaN(), &Reflection::SetFloat,
                   &Reflection::SetRepeatedFloat));
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        Expect("NaN", fields, path, false,
               Set(std::numeric_limits<double>::quiet_NaN(), &Reflection::SetDouble,
                   &Reflection::SetRepeatedDouble));
        break;
      default:
        ASSERT_EQ(field->cpp_type(), FieldDescriptor::CPPTYPE_BOOL) << field->full_name();
    }
  }

  void TryMessage(const Fields& fields) {
    const std::string& type = fields.back()->message_type()->full_name();
    if (!absl::StartsWith(type, "google.protobuf."))
      return Walk(fields.back()->message_type(), fields);
    std::unique_ptr<Message> wrong(google::protobuf::MessageFactory::generated_factory()
                                       ->GetPrototype(fields.back()->message_type())
                                       ->New());
    const std::string nul("a\0b", 3);
    std::string path = First(fields);
    if (type == "google.protobuf.Timestamp" || type == "google.protobuf.Duration") {
      wrong->GetReflection()->SetInt64(wrong.get(),
                                       wrong->GetDescriptor()->FindFieldByName("seconds"), kMost);
    } else if (auto* mask = dynamic_cast<google::protobuf::FieldMask*>(wrong.get())) {
      mask->add_paths("no_such_field");
      TryNoMask(fields);
    } else if (auto* json = dynamic_cast<google::protobuf::Struct*>(wrong.get())) {
      (*json->mutable_fields())["a"].set_string_value(nul);
      path += ".a";
    } else if (auto* value = dynamic_cast<google::protobuf::Value*>(wrong.get())) {
      value->set_string_value(nul);
    } else {
      FAIL() << type << " of " << fields.back()->full_name();
    }
    Expect("wrong " + type, fields, path, true,
           [&wrong](Message* message, const FieldDescriptor* field) {
             Reach(message, field)->CopyFrom(*wrong);
           });
  }

  /// An update of nothing at all.
  void TryNoMask(const Fields& fields) {
    Expect("no mask and no field", fields, First(fields), false,
           [](Message* request, const FieldDescriptor* mask) {
             request->GetReflection()->ClearField(request, mask);
             for (const auto* field : repositories::MaskableFields(*request->GetDescriptor())) {
               Message* resource = request;
               for (int i = 0; resource->GetDescriptor() != field->containing_type(); ++i) {
                 const auto* candidate = request->GetDescriptor()->field(i);
                 if (candidate->message_type() == field->containing_type()) {
                   resource = Reach(request, candidate);
                 }
               }
               resource->GetReflection()->ClearField(resource, field);
             }
           });
  }

  /// A right request; of those that say one thing or another, one that says the field's.
  const Message& RightOf(const FieldDescriptor* field) const {
    for (const auto& request : *right_) {
      if (field->real_containing_oneof() == nullptr ||
          request->GetReflection()->HasField(*request, field)) {
        return *request;
      }
    }
    return *right_->front();
  }

  void Expect(const std::string& what, const Fields& fields, const std::string& path, bool refused,
              const Change& change) {
    const Message& right = RightOf(fields.front());
    const std::unique_ptr<Message> request(right.New());
    request->CopyFrom(right);
    Message* message = request.get();
    for (size_t i = 0; i + 1 < fields.size(); ++i) message = Reach(message, fields[i]);
    change(message, fields.back());
    ++outcome_->calls;
    const grpc::Status status = Call(*request);
    const std::string told =
        absl::StrCat(method_->name(), ", ", what, " as ", path, ": ",
                     static_cast<int>(status.error_code()), " ", status.error_message());
    std::vector<std::string> named;
    const ErrorDetails details = DetailsOf(status);
    for (const auto& violation : details.bad_request.field_violations()) {
      named.push_back(violation.field());
    }
    const bool answered = status.ok() || status.error_code() == grpc::NOT_FOUND ||
                          status.error_code() == grpc::ALREADY_EXISTS ||
                          status.error_code() == grpc::FAILED_PRECONDITION;
    if (refused && answered) {
      outcome_->passed_over.push_back(absl::StrCat(OperationName(method_), " ", path));
    } else if (refused) {
      EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << told;
      EXPECT_EQ(std::ranges::count(named, path), 1)
          << told << " names " << absl::StrJoin(named, ", ");
    } else if (!answered) {
      EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << told;
      // What only the database can find wrong is told by its column.
      EXPECT_TRUE(!named.empty() || details.info.metadata().contains("column")) << told;
    }
  }

  grpc::Status Call(const Message& request) {
    const std::string path = PathOf(*method_);
    if (!method_->client_streaming() && !method_->server_streaming()) {
      return server_->Call(path, request, nullptr);
    }
    Conversation conversation(server_->stub(), path);
    conversation.Write(request);
    conversation.WritesDone();
    const std::unique_ptr<Message> response(google::protobuf::MessageFactory::generated_factory()
                                                ->GetPrototype(method_->output_type())
                                                ->New());
    while (conversation.Read(response.get())) {
    }
    return conversation.Finish();
  }

  RunningServer* server_;
  const MethodDescriptor* method_;
  const Requests* right_;
  const std::string token_;
  Outcome* outcome_;
};

TEST(BadInput, IsRefusedByItsField) {
  // Requests of each method that are right.
  std::map<std::string, Requests> right;
  for (const auto& [stem, cases] : ReadCases(TWI_CASES_FOLDER)) {
    for (const test::v1::Case& given : cases.case_()) {
      if (given.answer().code() == "INVALID_ARGUMENT" || given.request().empty()) continue;
      for (const auto& request : given.request()) {
        right[given.method()].push_back(Unpack(request));
      }
    }
  }
  RunningServer server;
  server.database().Run("insert into quotes (quote) values ('a'), ('b')");
  data::v1::ListQuotesRequest first;
  first.set_page_size(1);
  data::v1::ListQuotesResponse page;
  ASSERT_TRUE(server.Call("/twi.data.v1.QuotesService/ListQuotes", first, &page).ok());
  ASSERT_NE(page.next_page_token(), "");
  Outcome outcome;
  for (const auto* service : DataServices()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const MethodDescriptor* method = service->method(i);
      if (ByHand(method)) continue;
      const auto found = right.find(OperationName(method));
      ASSERT_NE(found, right.end()) << OperationName(method);
      BadInput(&server, method, &found->second,
               method->name() == "ListQuotes" ? "" : page.next_page_token(), &outcome)
          .Run();
    }
  }
  EXPECT_THAT(
      outcome.passed_over,
      ElementsAre("ChannelsService/UpdateChannel channel.created_at",
                  "RolesService/CreateRole role.alias", "RolesService/CreateRole role.category",
                  "RolesService/UpdateRole role.created_at", "RolesService/UpdateRole role.alias",
                  "RolesService/UpdateRole role.category"));
  EXPECT_GT(outcome.calls, 1500);
  RecordProperty("calls", outcome.calls);
}

}  // namespace
}  // namespace twi::testing

#pragma once

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "server/wire.h"
#include "tests/support/running_server.h"

namespace twi::testing {

/// Operations of a test's own over the wire, with messages in text format. The tests of a suite
/// share a server. Tables whose names begin with `hidden_` and values that contain `hush` must not
/// be found in any error.
class OperationFixture : public ::testing::Test {
 protected:
  using Code = grpc::StatusCode;

  static void Serve(const std::string& tables, const std::string& stanzas,
                    const google::protobuf::ServiceDescriptor* service) {
    served = service;
    const std::string file = FileStem(service->file()) + ".sql";
    running = std::make_unique<RunningServer>(tables, std::vector<EmbeddedText>{{file, stanzas}},
                                              std::vector{service});
  }
  static void TearDownTestSuite() { running.reset(); }

  static RunningServer& server() { return *running; }
  static const Database& database() { return running->database(); }

  static std::unique_ptr<google::protobuf::Message> Parse(const google::protobuf::Descriptor* type,
                                                          const std::string& text) {
    auto* factory = google::protobuf::MessageFactory::generated_factory();
    std::unique_ptr<google::protobuf::Message> message(factory->GetPrototype(type)->New());
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
    return message;
  }

  static std::string PathOf(const std::string& method) {
    return "/" + served->full_name() + "/" + method;
  }

  /// Calls a method; `response` is filled when that succeeds. What it refuses must tell nothing.
  static grpc::Status Call(const std::string& method, const std::string& request,
                           google::protobuf::Message* response) {
    const auto* type = served->FindMethodByName(method)->input_type();
    grpc::Status status = running->Call(PathOf(method), *Parse(type, request), response);
    if (!status.ok()) ExpectNothingTold(status);
    return status;
  }

  /// Expects the response, in exactly the bytes that protobuf itself needs for it.
  static void ExpectAnswer(const std::string& method, const std::string& request,
                           const std::string& expected) {
    SCOPED_TRACE(method + " {" + request + "}");
    const auto* type = served->FindMethodByName(method)->output_type();
    const auto wanted = Parse(type, expected);
    const auto got = Parse(type, "");
    const grpc::Status status = Call(method, request, got.get());
    ASSERT_TRUE(status.ok()) << status.error_code() << ": " << status.error_message();
    std::string differences;
    google::protobuf::util::MessageDifferencer differencer;
    differencer.set_field_comparator(&Comparator());
    differencer.ReportDifferencesToString(&differences);
    EXPECT_TRUE(differencer.Compare(*wanted, *got)) << differences;
    EXPECT_EQ(wanted->ByteSizeLong(), got->ByteSizeLong());
  }

  /// Expects an error. `where` is the field that its BadRequest names, or else the fact `column` or
  /// `constraint`; "" when there is none of them.
  static void ExpectRefusal(const std::string& method, const std::string& request, Code code,
                            const std::string& reason, const std::string& where = "") {
    SCOPED_TRACE(method + " {" + request + "}");
    const grpc::Status status = Call(method, request, nullptr);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    const ErrorDetails details = DetailsOf(status);
    EXPECT_EQ(details.info.reason(), reason) << status.error_message();
    EXPECT_EQ(WhereOf(details), where) << status.error_message();
    const std::string operation = served->name() + "/" + method;
    EXPECT_EQ(details.info.metadata().at("operation"), operation);
  }

  /// What goes in comes back.
  static void ExpectEcho(const std::string& method, const std::string& message) {
    ExpectAnswer(method, message, message);
  }

  /// Expects DATA_LOSS that names the column.
  static void ExpectLoss(const std::string& method, const std::string& text,
                         const std::string& column) {
    ExpectRefusal(method, Text(text), Code::DATA_LOSS, "VALUE_UNREPRESENTABLE", column);
  }

  static void ExpectInvalid(const std::string& method, const std::string& request,
                            const std::string& field) {
    ExpectRefusal(method, request, Code::INVALID_ARGUMENT, "FIELD_INVALID", field);
  }

  /// A request whose one field is `text`.
  static std::string Text(const std::string& text) {
    return "text: \"" + absl::CEscape(text) + "\"";
  }

  static void ExpectRead(const std::string& method, const std::string& text,
                         const std::string& expected) {
    ExpectAnswer(method, Text(text), expected);
  }

 private:
  static google::protobuf::util::DefaultFieldComparator& Comparator() {
    static auto& comparator = *[] {
      auto* made = new google::protobuf::util::DefaultFieldComparator();
      made->set_treat_nan_as_equal(true);
      return made;
    }();
    return comparator;
  }

  static std::string WhereOf(const ErrorDetails& details) {
    if (details.bad_request.field_violations_size() > 0) {
      return details.bad_request.field_violations(0).field();
    }
    for (const char* fact : {"column", "constraint"}) {
      const auto found = details.info.metadata().find(fact);
      if (found != details.info.metadata().end()) return found->second;
    }
    return "";
  }

  static void ExpectNothingTold(const grpc::Status& status) {
    const ErrorDetails details = DetailsOf(status);
    const std::string told = status.error_message() + "\n" + details.info.DebugString() +
                             details.bad_request.DebugString();
    // SQL, tables, values, and five characters that could be an SQLSTATE.
    EXPECT_THAT(absl::AsciiStrToLower(told),
                ::testing::Not(::testing::ContainsRegex(
                    "select|insert|update |delete|hidden_|hush|\\$[0-9]|syntax|relation|operator|"
                    "\\b[0-9][0-9a-z]{4}\\b")));
    EXPECT_LT(details.info.metadata_size(), 4) << told;
  }

  inline static const google::protobuf::ServiceDescriptor* served = nullptr;
  inline static std::unique_ptr<RunningServer> running;
};

}  // namespace twi::testing

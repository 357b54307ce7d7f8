#include "server/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "sql/errors.h"
#include "twi/data/v1/errors.pb.h"
#include "twi/data/v1/quotes.pb.h"

namespace twi::server {
namespace {

using absl::StatusCode;
using google::protobuf::util::TimeUtil;
using google::rpc::BadRequest;
using google::rpc::ErrorInfo;
using google::rpc::RetryInfo;
using std::chrono::milliseconds;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using twi::data::v1::CreateQuoteRequest;

google::rpc::Status DetailsOf(const grpc::Status& status) {
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  return details;
}

ErrorInfo InfoOf(const google::rpc::Status& details) {
  ErrorInfo info;
  EXPECT_GE(details.details_size(), 1);
  EXPECT_TRUE(details.details(0).UnpackTo(&info));
  return info;
}

/// A status with a BadRequest of about that many bytes.
absl::Status WithBadRequest(size_t size, std::string_view reason = "FIELD_INVALID") {
  BadRequest bad_request;
  bad_request.add_field_violations()->set_field("quote");
  bad_request.mutable_field_violations(0)->set_description(std::string(size, 'd'));
  absl::Status status = sql::Error(StatusCode::kInvalidArgument, reason, "quote is wrong");
  status.SetPayload("type.googleapis.com/google.rpc.BadRequest",
                    absl::Cord(bad_request.SerializeAsString()));
  return status;
}

/// `bytes` in slices of that size.
grpc::ByteBuffer Sliced(const std::string& bytes, size_t size) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < bytes.size(); i += size) slices.emplace_back(bytes.substr(i, size));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

TEST(ToGrpc, OkHasNothingToSay) {
  const grpc::Status status = ToGrpc(absl::OkStatus(), "QuotesService/GetQuote");
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.error_details(), "");
}

TEST(ToGrpc, TellsReasonFactsAndOperation) {
  const grpc::Status status =
      ToGrpc(sql::Error(StatusCode::kAlreadyExists, "ROW_EXISTS", "a row with this key exists",
                        {{"constraint", "quotes_pkey"}, {"column", "serial_id"}}),
             "QuotesService/CreateQuote");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(status.error_message(), "a row with this key exists");
  const google::rpc::Status details = DetailsOf(status);
  EXPECT_EQ(details.code(), grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(details.message(), status.error_message());
  ASSERT_EQ(details.details_size(), 1);
  const ErrorInfo info = InfoOf(details);
  EXPECT_EQ(info.domain(), "data.twi");
  EXPECT_EQ(info.reason(), "ROW_EXISTS");
  EXPECT_THAT(info.metadata(),
              UnorderedElementsAre(Pair("constraint", "quotes_pkey"), Pair("column", "serial_id"),
                                   Pair("operation", "QuotesService/CreateQuote")));
}

TEST(ToGrpc, AnErrorWithoutAReasonIsInternal) {
  const grpc::Status status = ToGrpc(absl::InternalError("what"), "");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  const ErrorInfo info = InfoOf(DetailsOf(status));
  EXPECT_EQ(info.reason(), "INTERNAL");
  EXPECT_THAT(info.metadata(), IsEmpty());
}

TEST(ToGrpc, OneErrorOfTwoOperationsNamesEach) {
  const absl::Status error = sql::Error(StatusCode::kNotFound, "ROW_NOT_FOUND", "there is none");
  for (const char* operation : {"A/Get", "A/Get", "B/Get", "A/Get"}) {
    EXPECT_THAT(InfoOf(DetailsOf(ToGrpc(error, operation))).metadata(),
                UnorderedElementsAre(Pair("operation", operation)));
  }
}

TEST(ToGrpc, EveryCodeIsGrpcsOwn) {
  for (int code = 1; code <= 16; ++code) {
    EXPECT_EQ(ToGrpc(absl::Status(static_cast<StatusCode>(code), "x"), "").error_code(), code);
  }
}

TEST(ToGrpc, SaysWhenToTryAgainWhereThatHelps) {
  const std::set<std::string> passing = {"OVERLOADED", "DATABASE_UNAVAILABLE", "SHUTTING_DOWN",
                                         "SERIALIZATION_FAILURE", "DEADLOCK"};
  const auto* reasons = twi::data::v1::ErrorReason_descriptor();
  for (int i = 0; i < reasons->value_count(); ++i) {
    const std::string reason =
        reasons->value(i)->name().substr(std::string("ERROR_REASON_").size());
    const auto details =
        DetailsOf(ToGrpc(sql::Error(StatusCode::kUnavailable, reason, "x"), "QuotesService/X"));
    ASSERT_EQ(details.details_size(), passing.contains(reason) ? 2 : 1) << reason;
    if (!passing.contains(reason)) continue;
    RetryInfo retry;
    ASSERT_TRUE(details.details(1).UnpackTo(&retry)) << reason;
    EXPECT_EQ(retry.retry_delay().seconds(), 0);
    EXPECT_GE(retry.retry_delay().nanos(), 1'000'000) << reason;
    EXPECT_LT(retry.retry_delay().nanos(), 1'000'000'000) << reason;
  }
}

TEST(ToGrpc, SaysWhenToTryAgainAsFarAsThatIsKnown) {
  const auto told = [](milliseconds wait) {
    RetryInfo retry;
    EXPECT_TRUE(
        DetailsOf(ToGrpc(sql::TooManyWait(wait), "QuotesService/X")).details(1).UnpackTo(&retry));
    return TimeUtil::DurationToMilliseconds(retry.retry_delay());
  };
  EXPECT_EQ(told(milliseconds(0)), 100);
  EXPECT_EQ(told(milliseconds(1234)), 1234);
  EXPECT_EQ(told(milliseconds(3'600'000)), 5000);
}

TEST(ToGrpc, PassesABadRequestOn) {
  const auto details = DetailsOf(ToGrpc(WithBadRequest(100), "QuotesService/CreateQuote"));
  ASSERT_EQ(details.details_size(), 2);
  EXPECT_EQ(InfoOf(details).reason(), "FIELD_INVALID");
  BadRequest bad_request;
  ASSERT_TRUE(details.details(1).UnpackTo(&bad_request));
  ASSERT_EQ(bad_request.field_violations_size(), 1);
  EXPECT_EQ(bad_request.field_violations(0).field(), "quote");
  EXPECT_EQ(bad_request.field_violations(0).description().size(), 100u);
}

TEST(ToGrpc, LeavesTheLastDetailsOutWhenTheyAreTooMany) {
  // With a reason that has a RetryInfo, so that there is one between.
  for (const size_t size : {3500, 3800, 4096, 100'000}) {
    const grpc::Status status = ToGrpc(WithBadRequest(size, "OVERLOADED"), "QuotesService/X");
    EXPECT_LE(status.error_details().size(), 4096u);
    const auto details = DetailsOf(status);
    ASSERT_EQ(details.details_size(), size < 3900 ? 3 : 2) << size;
    EXPECT_EQ(InfoOf(details).reason(), "OVERLOADED");
    EXPECT_TRUE(details.details(1).Is<RetryInfo>());
  }
}

TEST(ToGrpc, KeepsTheReasonOfALongMessage) {
  const grpc::Status status = ToGrpc(
      sql::Error(StatusCode::kUnimplemented, "METHOD_UNKNOWN", std::string(100'000, 'm')), "");
  EXPECT_EQ(status.error_message(), std::string(1024, 'm'));
  EXPECT_LE(status.error_details().size(), 4096u);
  EXPECT_EQ(InfoOf(DetailsOf(status)).reason(), "METHOD_UNKNOWN");
}

TEST(ToGrpc, CutsAMessageBetweenCharacters) {
  std::string message = "m";
  while (message.size() < 2000) message += "€";
  const grpc::Status status = ToGrpc(absl::InternalError(message), "");
  // 1 + 341 * 3 bytes are 1024; one byte more before them and a character would be split.
  EXPECT_EQ(status.error_message(), message.substr(0, 1024));
  const grpc::Status split = ToGrpc(absl::InternalError("m" + message), "");
  EXPECT_EQ(split.error_message(), "m" + message.substr(0, 1021));
  EXPECT_EQ(DetailsOf(split).message(), split.error_message());
}

TEST(Parse, ReadsSlicesOneOrMany) {
  CreateQuoteRequest sent;
  sent.set_quote(std::string(1000, 'q'));
  sent.set_author("Erin");
  sent.set_author_id(42);
  const std::string bytes = sent.SerializeAsString();
  for (const size_t size : {bytes.size(), size_t{500}, size_t{1}}) {
    grpc::ByteBuffer buffer = Sliced(bytes, size);
    CreateQuoteRequest received;
    EXPECT_TRUE(Parse(&buffer, &received).ok()) << size;
    EXPECT_EQ(received.SerializeAsString(), bytes) << size;
  }
}

TEST(Parse, NoBytesAreAMessageWithoutFields) {
  for (grpc::ByteBuffer buffer : {Buffer(""), Sliced("", 1)}) {
    CreateQuoteRequest received;
    received.set_quote("left from before");
    EXPECT_TRUE(Parse(&buffer, &received).ok());
    EXPECT_EQ(received.ByteSizeLong(), 0u);
  }
}

TEST(Parse, RefusesWhatIsNoMessage) {
  CreateQuoteRequest sent;
  sent.set_quote("q");
  const std::string good = sent.SerializeAsString();
  // A tag of field 0, a length beyond the end, text that is not UTF-8.
  for (const std::string& bytes : {std::string("\xff\xff\xff"), std::string(3, '\0'),
                                   good.substr(0, good.size() - 1), std::string("\x0a\x01\xff")}) {
    for (const size_t size : {bytes.size(), size_t{1}}) {
      grpc::ByteBuffer buffer = Sliced(bytes, size);
      CreateQuoteRequest received;
      const absl::Status status = Parse(&buffer, &received);
      EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
      EXPECT_EQ(sql::Reason(status), "REQUEST_MALFORMED");
      EXPECT_EQ(status.message(), "the request is no twi.data.v1.CreateQuoteRequest");
    }
  }
}

TEST(Buffer, HoldsTheBytes) {
  for (const size_t size : {0, 1, 23, 24, 63, 64, 65, 1000, 5'000'000}) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7);
    const grpc::ByteBuffer buffer = Buffer(bytes);
    EXPECT_EQ(buffer.Length(), size);
    EXPECT_TRUE(BytesOf(buffer) == bytes) << size;
  }
}

TEST(Buffer, KeepsTheBytesAsLongAsAnySliceLives) {
  for (const size_t size : {10, 1000}) {
    std::vector<grpc::Slice> slices;
    {
      const grpc::ByteBuffer copy = Buffer(std::string(size, 'a'));
      ASSERT_TRUE(copy.Dump(&slices).ok());
    }
    ASSERT_EQ(slices.size(), 1u);
    EXPECT_EQ(std::string(slices[0].begin(), slices[0].end()), std::string(size, 'a'));
  }
}

TEST(Buffer, TakesLongBytesWithoutACopy) {
  std::string bytes(1000, 'a');
  const char* where = bytes.data();
  const grpc::ByteBuffer buffer = Buffer(std::move(bytes));
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(buffer.Dump(&slices).ok());
  EXPECT_EQ(reinterpret_cast<const char*>(slices[0].begin()), where);
}

/// The sources that tell errors to callers, each as one text.
std::map<std::string, std::string> Sources() {
  const std::filesystem::path root = TWI_SOURCE_FOLDER;
  std::map<std::string, std::string> sources;
  for (const char* floor : {"sql", "cache", "repositories", "server"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / floor)) {
      if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
      std::stringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      sources[entry.path().lexically_relative(root)] = text.str();
    }
  }
  return sources;
}

/// `AlreadyExists` -> `ALREADY_EXISTS`.
std::string Shouted(const std::string& name) {
  std::string shouted;
  for (char c : name) {
    if (std::isupper(c) && !shouted.empty()) shouted += '_';
    shouted += static_cast<char>(std::toupper(c));
  }
  return shouted;
}

/// What errors.proto says of each reason: the code that its comment begins with.
std::map<std::string, std::string> CodesOfReasons() {
  std::ifstream proto(std::string(TWI_SOURCE_FOLDER) + "/proto/twi/data/v1/errors.proto");
  std::map<std::string, std::string> codes;
  std::string code;
  std::string reason;
  for (std::string line; std::getline(proto, line);) {
    RE2::FullMatch(line, "  // ([A-Z_]+): .*", &code);
    if (!RE2::FullMatch(line, "  ERROR_REASON_([A-Z_]+) = [0-9]+;", &reason)) continue;
    codes[reason] = std::exchange(code, "");
  }
  return codes;
}

TEST(Reasons, AreThoseOfTheContract) {
  // The ways in which errors are made: Error(StatusCode::kX, "REASON", …), which the rows of the
  // table in sql/errors.cc look like, and Wrong(field, description, "REASON").
  const RE2 use(
      "(?:StatusCode::k(\\w+)|\\bnone_),\\s*\"([A-Z_]+)\"|reason = \"([A-Z_]+)\""
      "|\\bWrong\\([^;]*\"([A-Z_]+)\"\\)");
  const std::map<std::string, std::string> codes = CodesOfReasons();
  std::set<std::string> used;
  for (const auto& [file, text] : Sources()) {
    re2::StringPiece rest(text);
    std::string code, with_code, assigned, violation;
    while (RE2::FindAndConsume(&rest, use, &code, &with_code, &assigned, &violation)) {
      const std::string reason = absl::StrCat(with_code, assigned, violation);
      used.insert(reason);
      twi::data::v1::ErrorReason value;
      EXPECT_TRUE(twi::data::v1::ErrorReason_Parse("ERROR_REASON_" + reason, &value))
          << file << ": " << reason;
      // What cannot be parsed is INTERNAL when the server starts; callers never hear of it.
      if (code.empty() || reason == "INTERNAL" || !codes.contains(reason)) continue;
      EXPECT_EQ(codes.at(reason), Shouted(code)) << file << ": " << reason;
    }
  }
  const auto* reasons = twi::data::v1::ErrorReason_descriptor();
  for (int i = 0; i < reasons->value_count(); ++i) {
    EXPECT_EQ(reasons->value(i)->number(), i) << "numbers are contiguous";
    const std::string reason =
        reasons->value(i)->name().substr(std::string("ERROR_REASON_").size());
    EXPECT_EQ(used.contains(reason), reason != "UNSPECIFIED")
        << reason << (i == 0 ? " is used" : " is used nowhere");
    EXPECT_TRUE(codes.contains(reason)) << reason << " was not found in errors.proto";
  }
}

}  // namespace
}  // namespace twi::server

// The peer: the service as one would write it first. So many threads, each with a connection to the
// database of its own, by libpqxx; each takes a call, waits for its statement, and answers. The
// same statements and the same messages as the service's, a caller's row at a time. Prints `ready
// PORT`.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <pqxx/pqxx>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"
#include "twi/data/v1/messages.pb.h"
#include "twi/data/v1/quotes.pb.h"
#include "twi/data/v1/reactions.pb.h"

ABSL_FLAG(std::string, dsn, "", "the database");
ABSL_FLAG(std::string, statements, "", "a file of JSON: the statement of each operation");
ABSL_FLAG(std::string, listen, "127.0.0.1:0", "address; port 0 picks a free one");
ABSL_FLAG(int, threads, 16, "threads, and so connections");

namespace twi::bench {
namespace {

using google::protobuf::Message;
using google::protobuf::util::TimeUtil;

constexpr size_t kOfTransaction = 128;  // of the messages of a stream

template <typename Request>
Request Parsed(const std::string& bytes) {
  Request request;
  if (!request.ParseFromString(bytes)) throw std::runtime_error("not the request's message");
  return request;
}

std::string Json(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  if (!MessageToJsonString(message, &json, options).ok()) throw std::runtime_error("no JSON");
  return json;
}

void Read(const pqxx::row& row, data::v1::Quote* quote) {
  quote->set_serial_id(row[0].as<int64_t>());
  quote->set_quote(row[1].c_str());
  if (!row[2].is_null()) quote->set_author(row[2].c_str());
  if (!row[3].is_null()) quote->set_author_id(row[3].as<int64_t>());
  absl::Time time;
  if (std::string error;
      !absl::ParseTime("%Y-%m-%d %H:%M:%E*S%Ez", row[4].c_str(), &time, &error) &&
      !absl::ParseTime("%Y-%m-%d %H:%M:%E*S%z", row[4].c_str(), &time, &error)) {
    throw std::runtime_error(error);
  }
  *quote->mutable_time() = TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(time));
}

/// A thread's connection, and what it does for callers. Throws what the database says.
class Desk {
 public:
  Desk() : connection_(absl::GetFlag(FLAGS_dsn)) {
    std::ifstream file(absl::GetFlag(FLAGS_statements));
    const auto statements = nlohmann::json::parse(file);
    for (const auto& [name, statement] : statements.items()) {
      connection_.prepare(name, statement.get<std::string>());
    }
  }

  /// The response's bytes; of a stream, for a part of its requests.
  std::string Answer(const std::string& method, const std::vector<std::string>& requests) {
    const auto found = kMethods.find(method);
    if (found == kMethods.end()) throw std::runtime_error("no such method: " + method);
    return (this->*found->second)(requests)->SerializeAsString();
  }

 private:
  using Requests = std::vector<std::string>;
  using Response = std::unique_ptr<Message>;

  Response GetQuote(const Requests& requests) {
    const auto request = Parsed<data::v1::GetQuoteRequest>(requests.front());
    pqxx::nontransaction session(connection_);
    auto response = std::make_unique<data::v1::GetQuoteResponse>();
    Read(session.exec_prepared1("GetQuote", request.serial_id()), response->mutable_quote());
    return response;
  }
  Response ListQuotes(const Requests& requests) {
    const auto request = Parsed<data::v1::ListQuotesRequest>(requests.front());
    pqxx::nontransaction session(connection_);
    auto response = std::make_unique<data::v1::ListQuotesResponse>();
    for (const auto& row : session.exec_prepared("ListQuotes", request.page_size())) {
      Read(row, response->add_quotes());
    }
    return response;
  }
  Response CreateMessage(const Requests& requests) {
    const auto m = Parsed<data::v1::CreateMessageRequest>(requests.front());
    const auto text = [](bool there, const std::string& value) {
      return there ? value.c_str() : nullptr;
    };
    const auto number = [](bool there, int64_t value) {
      return there ? std::to_string(value) : "";
    };
    const std::string user = number(m.has_user_id(), m.user_id());
    const std::string reference = number(m.has_reference(), m.reference());
    pqxx::nontransaction session(connection_);
    const pqxx::row row = session.exec_prepared1(
        "CreateMessage", m.message_id(), TimeUtil::ToString(m.created_at()),
        text(m.has_content(), m.content()), text(m.has_user_name(), m.user_name()), m.server_name(),
        m.server_id(), m.channel_id(), text(m.has_channel_name(), m.channel_name()),
        text(m.has_user_id(), user), text(m.has_user_nick(), m.user_nick()), m.jump_url(),
        m.is_bot(), m.deleted(), text(m.has_reference(), reference));
    auto response = std::make_unique<data::v1::CreateMessageResponse>();
    response->set_created(row[0].as<bool>());
    return response;
  }
  Response SaveMessage(const Requests& requests) {
    const auto request = Parsed<data::v1::SaveMessageRequest>(requests.front());
    pqxx::nontransaction session(connection_);
    const pqxx::row row = session.exec_prepared1("SaveMessage", "[" + Json(request) + "]");
    auto response = std::make_unique<data::v1::SaveMessageResponse>();
    response->set_created(row["created"].as<bool>());
    return response;
  }
  Response ImportMessages(const Requests& requests) {
    const auto json = [](std::string* out, const std::string& bytes) {
      *out += Json(Parsed<data::v1::ImportMessagesRequest>(bytes));
    };
    pqxx::nontransaction session(connection_);
    const pqxx::row row =
        session.exec_prepared1("ImportMessages", "[" + absl::StrJoin(requests, ",", json) + "]");
    auto response = std::make_unique<data::v1::ImportMessagesResponse>();
    response->set_created(row["created"].as<int64_t>());
    response->set_existing(row["existing"].as<int64_t>());
    return response;
  }

  Response UpsertReaction(const Requests& requests) {
    const auto request = Parsed<data::v1::UpsertReactionRequest>(requests.front());
    pqxx::nontransaction session(connection_);
    const pqxx::row row = session.exec_prepared1("UpsertReaction", "[" + Json(request) + "]");
    auto response = std::make_unique<data::v1::UpsertReactionResponse>();
    response->set_added(row["added"].as<bool>());
    return response;
  }

  using Method = Response (Desk::*)(const Requests&);
  inline static const std::map<std::string, Method> kMethods = {
      {"/twi.data.v1.QuotesService/GetQuote", &Desk::GetQuote},
      {"/twi.data.v1.QuotesService/ListQuotes", &Desk::ListQuotes},
      {"/twi.data.v1.MessagesService/CreateMessage", &Desk::CreateMessage},
      {"/twi.data.v1.MessagesService/SaveMessage", &Desk::SaveMessage},
      {"/twi.data.v1.MessagesService/ImportMessages", &Desk::ImportMessages},
      {"/twi.data.v1.ReactionsService/UpsertReaction", &Desk::UpsertReaction},
  };

  pqxx::connection connection_;
};

/// One call, from waiting for it to its end; deletes itself then. A thread at a time.
class Call {
 public:
  Call(grpc::AsyncGenericService* service, grpc::ServerCompletionQueue* queue)
      : service_(service), queue_(queue) {
    service_->RequestCall(&context_, &stream_, queue_, queue_, this);
  }

  void Proceed(bool ok, Desk& desk) {
    switch (step_) {
      case Step::kAwaited:
        new Call(service_, queue_);
        step_ = Step::kReads;
        return stream_.Read(&request_, this);
      case Step::kReads:
        if (ok && (Take(), context_.method().ends_with("/ImportMessages"))) {
          if (requests_.size() == kOfTransaction) Execute(desk);
          if (status_.ok()) return stream_.Read(&request_, this);
        }
        if (!requests_.empty()) Execute(desk);
        step_ = Step::kEnds;
        return End();
      case Step::kEnds:
        delete this;
    }
  }

 private:
  enum class Step { kAwaited, kReads, kEnds };

  void Take() {
    grpc::Slice slice;
    request_.DumpToSingleSlice(&slice);
    requests_.emplace_back(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  /// What was read until now. The numbers that a stream's parts add up to are those of the last
  /// part.
  void Execute(Desk& desk) {
    try {
      response_ = desk.Answer(context_.method(), requests_);
    } catch (const std::exception& error) {
      status_ = grpc::Status(grpc::StatusCode::UNKNOWN, error.what());
    }
    requests_.clear();
  }
  void End() {
    if (!status_.ok()) return stream_.Finish(status_, this);
    grpc::Slice slice(response_);
    stream_.WriteAndFinish(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), status_, this);
  }

  grpc::AsyncGenericService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  Step step_ = Step::kAwaited;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer request_;
  std::vector<std::string> requests_;
  std::string response_;
  grpc::Status status_;
};

int Main() {
  prctl(PR_SET_PDEATHSIG, SIGTERM);  // ends with whoever started it
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);

  grpc::AsyncGenericService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(absl::GetFlag(FLAGS_listen), grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.RegisterAsyncGenericService(&service);
  const auto queue = builder.AddCompletionQueue();
  const auto server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    std::cerr << "cannot listen on " << absl::GetFlag(FLAGS_listen) << "\n";
    return 1;
  }
  new Call(&service, queue.get());
  std::vector<std::thread> threads;
  for (int i = 0; i < absl::GetFlag(FLAGS_threads); ++i) {
    threads.emplace_back([&queue, desk = std::make_unique<Desk>()] {
      void* tag;
      bool ok;
      while (queue->Next(&tag, &ok)) static_cast<Call*>(tag)->Proceed(ok, *desk);
    });
  }
  std::cout << "ready " << port << std::endl;
  for (std::thread& thread : threads) thread.join();
  return 0;
}

}  // namespace
}  // namespace twi::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Serves a few operations with a connection a thread.");
  absl::ParseCommandLine(argc, argv);
  return twi::bench::Main();
}

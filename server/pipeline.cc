#include "server/pipeline.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/arena.h"
#include "proto/descriptor_names.h"
#include "server/record.h"
#include "server/wire.h"
#include "sql/errors.h"

namespace twi::server {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

// What a client that never waits may have in flight; memory for one is a few KiB.
constexpr int kCallLimit = 10'000;

MethodType TypeOf(const MethodDescriptor& method) {
  if (method.client_streaming()) {
    return method.server_streaming() ? MethodType::kBidiStream : MethodType::kClientStream;
  }
  return method.server_streaming() ? MethodType::kServerStream : MethodType::kUnary;
}

absl::Status Unknown(const Call& call) {
  return sql::Error(absl::StatusCode::kUnimplemented, "METHOD_UNKNOWN",
                    // Callers' own bytes, and details hold UTF-8.
                    absl::StrCat("there is no method ", absl::CHexEscape(call.path())));
}

absl::Status TooMany() {
  return sql::Error(absl::StatusCode::kResourceExhausted, "OVERLOADED",
                    "the server has too many calls");
}

}  // namespace

Pipeline::Pipeline(const Options& options, const repositories::Catalog* catalog, sql::Pool* pool,
                   const std::vector<Service*>& services, Metrics* metrics)
    : options_(options), operations_(pool, options.slow_query), metrics_(metrics) {
  for (const auto& operation : catalog->operations()) {
    Method& method = Add(*operation->method());
    method.operation = operation.get();
    method.operation_metrics = metrics->ForOperation(method.name);
  }
  for (Service* service : services) {
    for (int i = 0; i < service->descriptor()->method_count(); ++i) {
      Add(*service->descriptor()->method(i)).service = service;
    }
  }
}

Method& Pipeline::Add(const google::protobuf::MethodDescriptor& descriptor) {
  auto* factory = google::protobuf::MessageFactory::generated_factory();
  auto method = std::make_unique<Method>(Method{
      .descriptor = &descriptor,
      .request = factory->GetPrototype(descriptor.input_type()),
      .response = factory->GetPrototype(descriptor.output_type()),
      .validator = Validator::Make(descriptor.input_type()),
      .metrics = metrics_->ForMethod(descriptor.service()->full_name(), descriptor.name(),
                                     TypeOf(descriptor)),
      .name = OperationName(&descriptor),
  });
  for (const std::string& problem : method->validator.problems()) problems_.push_back(problem);
  const std::string path =
      absl::StrCat("/", descriptor.service()->full_name(), "/", descriptor.name());
  return *(methods_[path] = std::move(method));
}

const Method* Pipeline::Find(const std::string& path) const {
  const auto found = methods_.find(path);
  return found == methods_.end() ? nullptr : found->second.get();
}

Detached Pipeline::Serve(Call& call) {
  std::string response;
  absl::Status status = co_await Answer(call, &response);
  // An answer that came too late must not be taken for one that came in time.
  if (status.ok() && sql::Clock::now() >= call.deadline()) status = sql::TooLate();
  if (status.ok()) call.response() = Buffer(std::move(response));
  if (status.ok() && call.method()->answers_once()) call.metrics().Sent();
  RecordCall(call, status, metrics_);
  call.Finish(ToGrpc(status, call.method() == nullptr ? "" : call.method()->name));
}

Task<absl::Status> Pipeline::Answer(Call& call, std::string* response) {
  const Method* method = call.method();
  call.metrics().Started();

  // Who: everybody who can connect may call everything until principals exist.

  // Known method?
  if (method == nullptr) co_return Unknown(call);

  // Cached and valid: the place of the cache, before anything is parsed.

  // Parse, validate. A stream does so message by message.
  google::protobuf::Arena arena;
  Message* request = method->request->New(&arena);
  absl::Status status;
  if (!method->streaming()) status = Receive(call, request);
  if (!status.ok()) co_return status;

  // Admit. How many statements wait is limited where they wait, in the lanes.
  if (calls() > kCallLimit) co_return TooMany();

  // Run, encode.
  if (method->operation != nullptr && method->descriptor->client_streaming()) {
    status = co_await operations_.Take(call, response);
  } else if (method->operation != nullptr && method->streaming()) {
    status = co_await operations_.Send(call, request);
  } else if (method->operation != nullptr) {
    status = co_await operations_.Answer(call, *request, response);
  } else if (method->streaming()) {
    Stream stream(&call);
    status = co_await method->service->Converse(*method->descriptor, stream);
  } else {
    Message* answer = method->response->New(&arena);
    status = method->service->Answer(*method->descriptor, *request, answer);
    answer->AppendToString(response);
  }
  co_return status;
}

absl::Status Pipeline::Receive(Call& call, Message* request) const {
  // gRPC itself lets pass what is no unary call, and messages up to the limit of streams.
  if (call.received() != 1) {
    return Refused(call.received() == 0 ? "a unary call without a request"
                                        : "a unary call with more than one request");
  }
  if (call.request().Length() > options_.message_limit) {
    return sql::Error(
        absl::StatusCode::kResourceExhausted, "MESSAGE_TOO_LARGE",
        absl::StrCat("the request is larger than ", options_.message_limit, " bytes"));
  }
  call.metrics().Received();
  absl::Status status = Parse(&call.request(), request);
  if (status.ok()) status = call.method()->validator.Check(request);
  return status;
}

}  // namespace twi::server

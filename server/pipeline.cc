#include "server/pipeline.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/arena.h"
#include "proto/descriptor_names.h"
#include "server/reading.h"
#include "server/record.h"
#include "server/settle.h"
#include "server/wire.h"
#include "sql/errors.h"

namespace twi::server {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

std::string_view ViewOf(const grpc::Slice& slice) {
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

MethodType TypeOf(const MethodDescriptor& method) {
  if (method.client_streaming()) {
    return method.server_streaming() ? MethodType::kBidiStream : MethodType::kClientStream;
  }
  return method.server_streaming() ? MethodType::kServerStream : MethodType::kUnary;
}

std::string PathOf(const MethodDescriptor& method) {
  return absl::StrCat("/", method.service()->full_name(), "/", method.name());
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
                   Caching* caching, Access* access, const std::vector<Service*>& services,
                   Metrics* metrics)
    : options_(options),
      operations_(pool, options.slow_queries),
      caching_(caching),
      access_(access),
      metrics_(metrics),
      recorders_{
          .metrics = metrics, .failures = options.failures, .access_log = options.access_log} {
  for (const auto& operation : catalog->operations()) {
    Method& method = Add(*operation->method());
    method.operation = operation.get();
    method.cached = caching != nullptr && operation->ttl() > absl::ZeroDuration();
    method.operation_metrics = metrics->ForOperation(method.name, method.cached);
  }
  for (Service* service : services) {
    for (int i = 0; i < service->descriptor()->method_count(); ++i) {
      const MethodDescriptor& descriptor = *service->descriptor()->method(i);
      // Some of a service may be operations.
      if (Find(PathOf(descriptor)) != nullptr) continue;
      Method& method = Add(descriptor);
      method.service = service;
      if (service->runs_statements()) method.operation_metrics = metrics->ForOperation(method.name);
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
  if (!descriptor.client_streaming()) method->message_limit = options_.message_limit;
  for (const std::string& problem : method->validator.problems()) problems_.push_back(problem);
  return *(methods_[PathOf(descriptor)] = std::move(method));
}

const Method* Pipeline::Find(const std::string& path) const {
  const auto found = methods_.find(path);
  return found == methods_.end() ? nullptr : found->second.get();
}

bool Pipeline::Admit(Call& call) {
  absl::Status status = Enter(call);
  if (status.ok()) return true;
  call.metrics().Started();
  metrics_->Refused(sql::Reason(status));
  Finish(call, std::move(status));
  return false;
}

absl::Status Pipeline::Enter(Call& call) {
  // Who?
  const MethodDescriptor* method = call.method() == nullptr ? nullptr : call.method()->descriptor;
  if (access_ != nullptr && Access::Open(method)) {
    nobody_.Entered();
    call.set_principal(&nobody_);
  } else if (access_ != nullptr) {
    Access::Credentials credentials;
    credentials.authorization = call.metadata("authorization");
    if (!credentials.authorization) credentials.certificate_names = call.certificate_names();
    Principal* principal = nullptr;
    absl::Status status = access_->Enter(method, credentials, &principal);
    call.set_principal(principal);
    if (!status.ok()) return status;
  }

  // Known method?
  if (method == nullptr) return Unknown(call);

  // Room? One principal has at most half of it, two a third each, and so on: there is always some
  // left for who has none yet; all who need not say who they are, are one. How many statements wait
  // is limited where they wait.
  const int room = options_.call_limit - calls();
  const int held = call.principal() == nullptr ? 0 : call.principal()->in_flight();
  if (room < held) return TooMany();

  // A flood that is refused where it waits is refused here, before it is read.
  if (call.flow() != nullptr && call.method()->operation != nullptr && !call.method()->cached) {
    return call.flow()->refused.Find(&call.method()->operation->statement(), call.arrived());
  }
  return absl::OkStatus();
}

Detached Pipeline::Serve(Call& call) {
  Task<absl::Status> answering = Answer(call);
  absl::Status status = co_await answering;
  Finish(call, std::move(status));
}

void Pipeline::Finish(Call& call, absl::Status status) {
  // An answer that came too late must not be taken for one that came in time.
  if (status.ok() && sql::Clock::now() >= call.deadline()) status = sql::TooLate();
  if (call.late() && (status.ok() || absl::IsCancelled(status))) status = sql::TooLate();
  if (status.ok() && call.method()->answers_once()) call.metrics().Sent();
  RecordCall(call, status, recorders_);
  if (call.principal() != nullptr) call.principal()->Left();
  static const std::string kUnknown;
  call.Finish(ToGrpc(status, call.method() == nullptr ? kUnknown : call.method()->name));
}

Task<absl::Status> Pipeline::Answer(Call& call) {
  const Method* method = call.method();
  call.metrics().Started();

  // Parse, validate. A stream does so message by message.
  google::protobuf::Arena arena;
  Message* request = method->request->New(&arena);
  absl::Status status;
  if (!method->streaming()) status = Receive(call, request);
  if (!status.ok()) co_return status;

  // Run, encode; a read whose answer is to be kept may join the flight of another.
  std::string response;
  Operations::Footprint footprint;
  const bool follows = caching_ != nullptr && caching_->follows();
  if (method->cached) {
    const grpc::Slice bytes = Bytes(&call.request());
    const OperationQuestion question(*method->operation, *request, ViewOf(bytes));
    const auto ask = [&](std::string* answer, Operations::Footprint* left) {
      return operations_.Answer(call, *request, answer, left);
    };
    Task<absl::Status> answering = server::Answer(call, *caching_, question, ask);
    status = co_await answering;
    co_return status;
  }
  if (method->operation != nullptr && method->descriptor->client_streaming()) {
    Task<absl::Status> taking = operations_.Take(call, &response);
    status = co_await taking;
  } else if (method->operation != nullptr && method->streaming()) {
    Task<absl::Status> sending = operations_.Send(call, request);
    status = co_await sending;
  } else if (method->operation != nullptr) {
    Task<absl::Status> answering =
        operations_.Answer(call, *request, &response, follows ? &footprint : nullptr);
    status = co_await answering;
  } else if (method->streaming()) {
    Stream stream(&call);
    Task<absl::Status> conversing = method->service->Converse(*method->descriptor, stream);
    status = co_await conversing;
  } else {
    Message* answer = method->response->New(&arena);
    Task<absl::Status> answering = method->service->Answer(call, *request, answer);
    status = co_await answering;
    answer->AppendToString(&response);
  }
  // A handwritten service that is streamed to has said its answer.
  if (status.ok() && method->answers_once() && !call.response().Valid()) {
    call.response() = Buffer(std::move(response));
  }

  // Settle. Whoever hears of a write, even of the part that was done, must not find an answer
  // without it in the cache.
  if (method->operation != nullptr && !method->operation->read_only() && caching_ != nullptr) {
    Task<absl::Status> settling = Settle(call, *caching_, footprint.transaction, std::move(status));
    status = co_await settling;
  }
  co_return status;
}

bool Pipeline::AnswerKept(Call& call) {
  if (!call.method()->cached) return false;
  const grpc::Slice request = Bytes(&call.request());
  const cache::Key key{&call.method()->operation->statement(), ViewOf(request)};
  std::optional<absl::Status> status = server::AnswerKept(call, *caching_, key);
  if (!status) return false;
  call.metrics().Started();
  call.metrics().Received();
  Finish(call, *std::move(status));
  return true;
}

absl::Status Pipeline::Receive(Call& call, Message* request) const {
  // gRPC itself lets pass what is no unary call, and messages up to the limit of streams.
  if (call.received() != 1) {
    return Refused(call.received() == 0 ? "a unary call without a request"
                                        : "a unary call with more than one request");
  }
  absl::Status status = CheckSize(call.request(), call.method()->message_limit);
  if (!status.ok()) return status;
  call.metrics().Received();
  status = Parse(&call.request(), request);
  if (status.ok()) status = call.method()->validator.Check(request);
  return status;
}

}  // namespace twi::server

#include "tests/chaos/fuzz/inputs.h"

#include <memory>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/descriptor_names.h"
#include "tests/cases/case_files.h"
#include "tests/chaos/fuzz/mutate.h"

namespace twi::fuzz {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;
using std::chrono::milliseconds;

/// What gRPC takes at the most: of a message, and surely of metadata.
constexpr size_t kGrpcMessage = 16 << 20;
constexpr size_t kGrpcMetadata = 4096;

constexpr const char* kKindNames[] = {"right", "mutated", "filled", "bytes"};

/// Answered only when there is something to tell, or as long as the database takes for the caller's
/// own SQL and for its upkeep.
bool TakesItsTime(const MethodDescriptor& method) {
  static const std::set<std::string> kThese = {
      "AdminService/ApplyOptimizations", "AdminService/MaintainIndexes",
      "AdminService/RefreshMaterializedViews", "AdminService/ValidateConnections", "Health/Watch"};
  return method.service()->name() == "DatabaseService" || kThese.contains(OperationName(&method));
}

}  // namespace

bool Input::EndsConnection() const {
  size_t size = 0;
  for (const auto& [name, value] : metadata) size += name.size() + value.size();
  return size > kGrpcMetadata;
}

bool Input::BeyondGrpc() const {
  if (EndsConnection() || compressed) return true;
  return std::ranges::any_of(messages,
                             [](const auto& message) { return message.size() > kGrpcMessage; });
}

bool Input::MustBeAnswered() const {
  return half_closes && !cancels_after && !cancels_at && deadline >= std::chrono::seconds(10);
}

std::string Input::Describe() const {
  constexpr size_t kMost = 1 << 16;
  return absl::StrCat(
      path, " ", kKindNames[static_cast<size_t>(kind)], ", deadline ", deadline.count(), " ms",
      half_closes ? "" : ", not half-closed", compressed ? ", compressed" : "",
      cancels_after ? absl::StrCat(", cancelled after ", cancels_after->count(), " ms") : "",
      cancels_at ? absl::StrCat(", cancelled at answer ", *cancels_at) : "", "\n  metadata ",
      absl::StrJoin(metadata, " ",
                    [](std::string* out, const auto& field) {
                      if (field.first == "authorization") return;
                      absl::StrAppend(out, field.first, "=", absl::CEscape(field.second));
                    }),
      absl::StrJoin(messages, "", [](std::string* out, const std::string& message) {
        absl::StrAppend(out, "\n  ", absl::BytesToHexString(message.substr(0, kMost)),
                        message.size() > kMost ? "…" : "");
      }));
}

Inputs::Inputs(const std::vector<std::string>& folders, std::string token)
    : token_(std::move(token)) {
  std::vector<const google::protobuf::ServiceDescriptor*> services = AllServices();
  for (const char* name : {"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                           "grpc.reflection.v1alpha.ServerReflection"}) {
    services.push_back(DescriptorPool::generated_pool()->FindServiceByName(name));
  }
  for (const auto* service : services) {
    for (int i = 0; i < service->method_count(); ++i) methods_.push_back(service->method(i));
  }
  for (const std::string& folder : folders) {
    for (const auto& [stem, cases] : testing::ReadCases(folder)) {
      for (const auto& given : cases.case_()) {
        if (!given.given().empty()) given_.push_back(given.given());
        if (given.answer().code() == "INVALID_ARGUMENT") continue;
        Requests requests;
        for (const auto& request : given.request()) requests.push_back(request.value());
        if (!requests.empty()) right_[given.method()].push_back(std::move(requests));
      }
    }
  }
}

Inputs::Requests Inputs::Messages(const MethodDescriptor& method, Kind kind, Random& random) const {
  const auto found = right_.find(OperationName(&method));
  Requests requests = found == right_.end() ? Requests{""} : random.OneOf(found->second);
  switch (kind) {
    case Kind::kRight:
      break;
    case Kind::kMutated: {
      std::string& one = requests[random.Below(requests.size())];
      one = Mutate(std::move(one), random);
      // Now and then too many or too few, also of what must be one.
      if (random.OnceIn(8)) requests.push_back(random.OneOf(requests));
      if (random.OnceIn(8)) requests.erase(requests.begin());
      if (requests.size() > 1 && random.OnceIn(4)) std::swap(requests.front(), requests.back());
      break;
    }
    case Kind::kFilled:
    case Kind::kBytes:
      // After a right beginning, as far as there is one.
      if (method.client_streaming() && random.OnceIn(2)) {
        requests.resize(random.Below(requests.size()) + 1);
      } else {
        requests.clear();
      }
      for (size_t n = method.client_streaming() ? random.Below(5) : 1; n > 0; --n) {
        if (kind == Kind::kBytes) {
          // Seldom more than gRPC lets through.
          requests.push_back(
              random.Bytes(random.OnceIn(2000) ? kGrpcMessage + 1 : random.Length(500)));
          continue;
        }
        const std::unique_ptr<Message> message(google::protobuf::MessageFactory::generated_factory()
                                                   ->GetPrototype(method.input_type())
                                                   ->New());
        Fill(message.get(), random);
        requests.push_back(message->SerializeAsString());
      }
  }
  return requests;
}

void Inputs::AddMetadata(Input* input, Random& random) const {
  if (!token_.empty() && !random.OnceIn(40)) {
    input->metadata.emplace("authorization", "Bearer " + token_);
  } else if (random.OnceIn(2)) {
    input->metadata.emplace(
        "authorization", random.OneOf({"Bearer ", "bearer", "Basic "}) + HeaderText(random, 200));
  }
  if (random.OnceIn(3)) {
    std::string freshness =
        random.OneOf({"bounded", "strict", "bypass", "session=", "session=AAAA", "stale=5",
                      "stale=-1", "stale=", "stale=99999999999999999999", "stale=1e308",
                      "stale=nan", "strict,strict", "", "?"});
    if (random.OnceIn(3)) freshness += HeaderText(random, 300);
    input->metadata.emplace("x-freshness", freshness);
    if (random.OnceIn(10)) input->metadata.emplace("x-freshness", "strict");
  }
  if (random.OnceIn(10)) input->metadata.emplace("x-fuzz-bin", random.Bytes(random.Length(500)));
  if (random.OnceIn(10)) {
    input->metadata.emplace(random.OneOf({"user-agent", "traceparent", "x-request-id"}),
                            HeaderText(random, 300));
  }
  if (random.OnceIn(200)) input->metadata.emplace("x-large", std::string(20000, 'x'));
}

Input Inputs::Make(uint64_t seed, uint64_t index) const {
  Random random(seed, index);
  const MethodDescriptor* method = methods_[index % methods_.size()];
  Input input;
  input.method = method;
  input.path = testing::PathOf(*method);
  input.kind = static_cast<Kind>(index / methods_.size() % kKinds);
  input.messages = Messages(*method, input.kind, random);
  if (random.OnceIn(200)) {
    input.method = nullptr;
    input.path = random.OneOf({"/", "//", "/a", "/twi.data.v1.QuotesService/", "/a/b/c"}) +
                 HeaderText(random, 50);
  }
  AddMetadata(&input, random);
  input.deadline = std::chrono::seconds(TakesItsTime(*method) ? 2 : 30);
  input.compressed = random.OnceIn(100);
  if (random.OnceIn(12)) input.deadline = milliseconds(random.Below(20));
  if (random.OnceIn(12)) input.cancels_after = milliseconds(random.Below(20));
  if (method->server_streaming() && random.OnceIn(6)) input.cancels_at = random.Below(3) + 1;
  if (random.OnceIn(method->client_streaming() ? 8 : 50)) {
    input.half_closes = false;
    input.deadline = std::min(input.deadline, milliseconds(300));
  }
  return input;
}

}  // namespace twi::fuzz

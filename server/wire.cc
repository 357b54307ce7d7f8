#include "server/wire.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "google/protobuf/util/time_util.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "sql/errors.h"
#include "sql/text.h"

namespace twi::server {
namespace {

using google::protobuf::util::TimeUtil;

constexpr char kDomain[] = "data.twi";
constexpr std::string_view kTypePrefix = "type.googleapis.com/";
constexpr size_t kDetailsLimit = 4096;
constexpr size_t kMessageTextLimit = 1024;
// Answers as short as this are copied: one allocation instead of two, and no reference to count.
constexpr size_t kCopied = 512;

/// When to try again; 0: not.
std::chrono::milliseconds RetryDelay(const absl::Status& status, const std::string& reason) {
  if (const auto known = sql::RetryDelay(status)) return *known;
  if (reason == "OVERLOADED") return std::chrono::milliseconds(100);
  if (reason == "DATABASE_UNAVAILABLE" || reason == "SHUTTING_DOWN") {
    return std::chrono::milliseconds(500);
  }
  if (reason == "SERIALIZATION_FAILURE" || reason == "DEADLOCK") {
    return std::chrono::milliseconds(20);
  }
  return std::chrono::milliseconds(0);
}

}  // namespace

absl::Status Parse(grpc::ByteBuffer* buffer, google::protobuf::Message* message) {
  bool parsed;
  if (grpc::Slice slice; buffer->TrySingleSlice(&slice).ok()) {
    parsed = message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  } else {
    grpc::ProtoBufferReader reader(buffer);
    parsed = reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
  }
  if (parsed) return absl::OkStatus();
  return sql::Error(absl::StatusCode::kInvalidArgument, "REQUEST_MALFORMED",
                    "the request is no " + message->GetDescriptor()->full_name());
}

absl::Status CheckSize(const grpc::ByteBuffer& buffer, size_t limit) {
  if (buffer.Length() <= limit) return absl::OkStatus();
  return sql::Error(absl::StatusCode::kResourceExhausted, "MESSAGE_TOO_LARGE",
                    absl::StrCat("the request is larger than ", limit, " bytes"));
}

absl::Status Refused(const char* why) {
  return sql::Error(absl::StatusCode::kUnimplemented, "CALL_REFUSED", why);
}

namespace {

/// A buffer of the bytes that `owner` holds, by a pointer that is given up with it.
template <typename Owner>
grpc::ByteBuffer Share(const std::string& bytes, Owner owner) {
  if (bytes.size() <= kCopied) {
    const grpc::Slice slice(bytes);
    return grpc::ByteBuffer(&slice, 1);
  }
  auto* kept = new Owner(std::move(owner));
  const grpc::Slice slice(
      const_cast<char*>((*kept)->data()), (*kept)->size(),
      [](void* pointer) { delete static_cast<Owner*>(pointer); }, kept);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

grpc::ByteBuffer Buffer(std::string bytes) {
  auto owner = std::make_unique<const std::string>(std::move(bytes));
  const std::string& owned = *owner;
  return Share(owned, std::move(owner));
}

grpc::ByteBuffer Buffer(std::shared_ptr<const std::string> bytes) {
  const std::string& shared = *bytes;
  return Share(shared, std::move(bytes));
}

grpc::Slice Bytes(grpc::ByteBuffer* buffer) {
  grpc::Slice slice;
  if (!buffer->TrySingleSlice(&slice).ok()) buffer->DumpToSingleSlice(&slice);
  return slice;
}

namespace {

grpc::Status Make(const absl::Status& status, const std::string& operation) {
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(std::string(Shortened(ToStd(status.message()), kMessageTextLimit)));

  google::rpc::ErrorInfo info;
  info.set_domain(kDomain);
  const std::string reason = sql::Reason(status);
  info.set_reason(reason.empty() ? "INTERNAL" : reason);
  for (const auto& [name, value] : sql::Facts(status)) (*info.mutable_metadata())[name] = value;
  if (!operation.empty()) (*info.mutable_metadata())["operation"] = operation;
  details.add_details()->PackFrom(info);

  if (const auto delay = RetryDelay(status, reason); delay.count() > 0) {
    google::rpc::RetryInfo retry;
    *retry.mutable_retry_delay() = TimeUtil::MillisecondsToDuration(delay.count());
    details.add_details()->PackFrom(retry);
  }
  status.ForEachPayload([&details](absl::string_view url, const absl::Cord& payload) {
    if (!ToStd(url).starts_with(kTypePrefix)) return;
    google::protobuf::Any* any = details.add_details();
    any->set_type_url(std::string(url));
    any->set_value(std::string(payload));
  });
  while (details.ByteSizeLong() > kDetailsLimit && details.details_size() > 1) {
    details.mutable_details()->RemoveLast();
  }
  return {static_cast<grpc::StatusCode>(status.code()), details.message(),
          details.SerializeAsString()};
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status, const std::string& operation) {
  if (status.ok()) return grpc::Status::OK;
  // A flood is refused in the same words each time, which cost as much to make as all else of ours.
  struct Made {
    absl::Status status;
    std::string operation;
    grpc::Status made;
  };
  thread_local Made last;
  if (last.status != status || last.operation != operation) {
    last = {status, operation, Make(status, operation)};
  }
  return last.made;
}

}  // namespace twi::server

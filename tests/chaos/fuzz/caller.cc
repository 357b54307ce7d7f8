#include "tests/chaos/fuzz/caller.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/message.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/wire.h"

namespace twi::fuzz {
namespace {

using Clock = std::chrono::system_clock;

// Beyond a call's deadline, on a machine that has much to do.
constexpr std::chrono::seconds kSlack{20};

grpc::ChannelArguments Arguments() {
  grpc::ChannelArguments arguments;
  // A connection for each caller; and answers of any size are looked at.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  return arguments;
}

/// The reason that the server gave, or nothing.
std::string Reason(const grpc::Status& status) {
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    if (detail.UnpackTo(&info) && info.domain() == "data.twi") return info.reason();
  }
  return "";
}

/// A call that is under way, event by event.
class Call {
 public:
  Call(const Input& input, grpc::GenericStub* stub, grpc::CompletionQueue* queue)
      : input_(input), queue_(*queue) {
    for (const auto& [name, value] : input.metadata) context_.AddMetadata(name, value);
    if (input.compressed) context_.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    begin_ = Clock::now();
    context_.set_deadline(begin_ + input.deadline);
    stream_ = stub->PrepareCall(&context_, input.path, queue);
    stream_->StartCall(Tag(kStart));
    under_way_ = 1;
  }

  /// Until nothing of it is under way; false when it does not end.
  bool Run() {
    const auto latest = begin_ + input_.deadline + kSlack;
    while (under_way_ > 0) {
      const bool cancels = input_.cancels_after && !cancelled_;
      void* tag = nullptr;
      bool ok = false;
      switch (queue_.AsyncNext(&tag, &ok, cancels ? begin_ + *input_.cancels_after : latest)) {
        case grpc::CompletionQueue::GOT_EVENT:
          --under_way_;
          Take(static_cast<What>(reinterpret_cast<intptr_t>(tag)), ok);
          break;
        case grpc::CompletionQueue::TIMEOUT:
          if (!cancels) return false;
          Cancel();
          break;
        case grpc::CompletionQueue::SHUTDOWN:
          return false;
      }
    }
    return true;
  }

  const grpc::Status& status() const { return status_; }
  const std::optional<std::string>& fault() const { return fault_; }

 private:
  enum What : intptr_t { kStart, kWrite, kHalfClose, kRead, kFinish };

  static void* Tag(What what) { return reinterpret_cast<void*>(what); }

  void Cancel() {
    cancelled_ = true;
    context_.TryCancel();
  }

  void Take(What what, bool ok) {
    switch (what) {
      case kStart:
        if (!ok) return Finish();
        Read();
        return WriteNext();
      case kWrite:
        if (ok) WriteNext();
        return;
      case kRead:
        if (!ok) return Finish();
        LookAtAnswer();
        if (++answers_ == input_.cancels_at) Cancel();
        return Read();
      case kHalfClose:
      case kFinish:
        return;
    }
  }

  void WriteNext() {
    if (written_ < input_.messages.size()) {
      stream_->Write(server::Buffer(input_.messages[written_++]), Tag(kWrite));
    } else if (input_.half_closes) {
      stream_->WritesDone(Tag(kHalfClose));
    } else {
      return;
    }
    ++under_way_;
  }
  void Read() {
    stream_->Read(&answer_, Tag(kRead));
    ++under_way_;
  }
  void Finish() {
    stream_->Finish(&status_, Tag(kFinish));
    ++under_way_;
  }

  void LookAtAnswer() {
    if (input_.method == nullptr) return;
    const std::unique_ptr<google::protobuf::Message> message(
        google::protobuf::MessageFactory::generated_factory()
            ->GetPrototype(input_.method->output_type())
            ->New());
    if (!server::Parse(&answer_, message.get()).ok()) {
      fault_ = absl::StrCat("answer ", answers_ + 1, " is no ", message->GetTypeName());
    }
  }

  const Input& input_;
  grpc::CompletionQueue& queue_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  Clock::time_point begin_;
  int under_way_ = 0;
  size_t written_ = 0;
  size_t answers_ = 0;
  bool cancelled_ = false;
  grpc::ByteBuffer answer_;
  grpc::Status status_;
  std::optional<std::string> fault_;
};

/// What is wrong with the status that the call ended with.
std::optional<std::string> FaultOf(const Input& input, const grpc::Status& status) {
  const auto fault = [&](const char* what) {
    return absl::StrCat(what, ": ", static_cast<int>(status.error_code()), " ",
                        status.error_message());
  };
  const std::string reason = Reason(status);
  switch (status.error_code()) {
    case grpc::OK:
      return std::nullopt;
    case grpc::DEADLINE_EXCEEDED:
      if (input.MustBeAnswered() && input.method != nullptr) return fault("not answered");
      return std::nullopt;
    case grpc::CANCELLED:
      if (!input.cancels_after && !input.cancels_at && reason.empty()) {
        return fault("cancelled by nobody");
      }
      return std::nullopt;
    case grpc::INTERNAL:
    case grpc::DATA_LOSS:
      return fault("a fault of the server");
    case grpc::UNKNOWN:
      return reason == "OUTCOME_UNKNOWN" ? std::nullopt : std::optional(fault("unknown"));
    default:
      if (reason.empty() && !input.BeyondGrpc()) return fault("no reason is told");
      return std::nullopt;
  }
}

}  // namespace

Caller::Caller(const std::string& address)
    : stub_(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), Arguments())) {}

Caller::~Caller() {
  queue_.Shutdown();
  void* tag = nullptr;
  for (bool ok = false; queue_.Next(&tag, &ok);) {
  }
}

Ending Caller::Make(const Input& input) {
  Call call(input, &stub_, &queue_);
  if (!call.Run()) return {{grpc::UNKNOWN, "no status"}, "it has not ended by its deadline"};
  Ending ending{call.status(), call.fault()};
  if (!ending.fault) ending.fault = FaultOf(input, ending.status);
  return ending;
}

}  // namespace twi::fuzz

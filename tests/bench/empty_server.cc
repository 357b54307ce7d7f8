// The yardstick: what a gRPC server of the real one's flavour costs when it does nothing. It
// answers every method with the same bytes, from one thread. Prints `ready PORT`.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>

#include <csignal>
#include <iostream>
#include <memory>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/synchronization/mutex.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:0", "address; port 0 picks a free one");
ABSL_FLAG(int, response_size, 120, "bytes of each response");
ABSL_FLAG(bool, trailers, false, "send the trailers of a hit of the cache, too");
ABSL_FLAG(bool, second_read, false, "look for a second message of the client before answering");
ABSL_FLAG(bool, cancellable, false, "hear of each call's end, as who may be cancelled must");

namespace twi::bench {
namespace {

/// One call, from waiting for it to its end; deletes itself then.
class Call {
 public:
  struct Server {
    grpc::AsyncGenericService* service;
    grpc::ServerCompletionQueue* queue;
    const grpc::ByteBuffer* response;
    int reads;
    bool trailers;
    bool cancellable;
  };

  explicit Call(const Server& server)
      : server_(server), reads_left_(server.reads), ends_left_(server.cancellable ? 2 : 1) {
    if (server_.cancellable) context_.AsyncNotifyWhenDone(&done_);
    server_.service->RequestCall(&context_, &stream_, server_.queue, server_.queue, &step_);
  }

  /// What a tag stands for.
  static void Take(void* tag, bool ok) {
    auto* const event = static_cast<Event*>(tag);
    if (event->done) {
      event->call->End();
    } else {
      event->call->Proceed(ok);
    }
  }

 private:
  struct Event {
    Call* call;
    bool done;
  };

  void End() {
    if (--ends_left_ == 0) delete this;
  }

  void Proceed(bool ok) {
    if (!accepted_) {
      accepted_ = true;
      new Call(server_);
    }
    if (finished_) {
      End();
    } else if (reads_left_ > 0 && ok) {
      --reads_left_;
      stream_.Read(&request_, &step_);
    } else {
      finished_ = true;
      if (server_.trailers) {
        context_.AddTrailingMetadata("x-cache", "hit");
        context_.AddTrailingMetadata("x-age-ms", "1234");
      }
      stream_.WriteAndFinish(*server_.response, grpc::WriteOptions(), grpc::Status::OK, &step_);
    }
  }

  const Server& server_;
  Event step_{this, false};
  Event done_{this, true};
  int reads_left_;
  int ends_left_;
  bool accepted_ = false;
  bool finished_ = false;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer request_;
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

  grpc::Slice slice(std::string(absl::GetFlag(FLAGS_response_size), 'x'));
  const grpc::ByteBuffer response(&slice, 1);
  const Call::Server state = {&service,
                              queue.get(),
                              &response,
                              absl::GetFlag(FLAGS_second_read) ? 2 : 1,
                              absl::GetFlag(FLAGS_trailers),
                              absl::GetFlag(FLAGS_cancellable)};
  new Call(state);
  std::cout << "ready " << port << std::endl;
  void* tag;
  bool ok;
  while (queue->Next(&tag, &ok)) Call::Take(tag, ok);
  return 0;
}

}  // namespace
}  // namespace twi::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Answers every gRPC method with the same bytes.");
  absl::ParseCommandLine(argc, argv);
  return twi::bench::Main();
}

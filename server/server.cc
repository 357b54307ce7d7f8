#include "server/server.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/call.h"
#include "server/tls.h"

namespace twi::server {
namespace {

// Client streams alone take more than the 4 MiB that the pipeline allows every other message.
constexpr int kStreamMessageLimit = 16 * 1024 * 1024;
// What clients have sent and calls that are open may take of memory, all together. gRPC looks how
// large a message is only when it has all of it. Who sends more waits, and then calls end with
// RESOURCE_EXHAUSTED or UNAVAILABLE.
constexpr size_t kBuffers = size_t{256} << 20;
// Calls that may arrive between two turns of a queue's thread without waiting for it. Few: Debian's
// gRPC looks for each event of a call among all that its queue awaits, of which these are the
// oldest.
constexpr int kCallsAccepted = 4;

void Serve(grpc::ServerCompletionQueue* queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) Tag::FromQueue(tag)->Complete(ok);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const std::string& listen, int threads,
                                                      Pipeline* pipeline, const TlsFiles& tls,
                                                      absl::Duration max_connection_age) {
  // Debian's abseil looks for deadlocks at every lock of gRPC's.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  std::unique_ptr<Server> server(new Server(pipeline));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(listen, ListenerCredentials(tls), &port);
  // Two servers would share the port, and each get half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // One GiB of zeros is a message of one MiB, and is unpacked before any limit looks at it.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetMaxReceiveMessageSize(kStreamMessageLimit);
  builder.SetResourceQuota(grpc::ResourceQuota("calls").Resize(kBuffers));
  // Answers may be larger than what is taken: lists of rows.
  builder.SetMaxSendMessageSize(-1);
  // Who has begun to connect and says no more.
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  // A client is told to go elsewhere, or to come again, at about this age. Calls that it has open
  // then go on for as long as they like.
  if (max_connection_age > absl::ZeroDuration()) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                               static_cast<int>(absl::ToInt64Milliseconds(max_connection_age)));
  }
  // Clients may ping as often as once in 10 s, and with no call under way.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Their bookkeeping costs about 3 % of an answer and nobody reads it.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.RegisterAsyncGenericService(&server->service_);
  for (int i = 0; i < threads; ++i) server->queues_.push_back(builder.AddCompletionQueue());
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", listen));
  }
  server->address_ = listen.starts_with("unix:")
                         ? listen
                         : absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
  for (const auto& queue : server->queues_) {
    for (int i = 0; i < kCallsAccepted; ++i) {
      Call::Accept(pipeline, &server->service_, queue.get());
    }
    server->threads_.emplace_back(Serve, queue.get());
  }
  return server;
}

void Server::Shutdown(absl::Duration grace) {
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
}

Server::~Server() {
  if (server_ == nullptr) return;
  Shutdown(absl::ZeroDuration());
  // A call's end is put into its queue, which must therefore outlive all of them.
  while (pipeline_->calls() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (const auto& queue : queues_) queue->Shutdown();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace twi::server

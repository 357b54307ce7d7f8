#include "tests/chaos/callers.h"

#include "absl/synchronization/mutex.h"
#include "server/wire.h"
#include "tests/support/running_server.h"

namespace twi::testing {
namespace {

using std::chrono::milliseconds;

// Calls of one channel wait for one another at its connection.
constexpr int kChannels = 8;
// gRPC's clocks go by milliseconds, and it rounds deadlines up to the next.
constexpr milliseconds kGranularity{2};

}  // namespace

bool Caller::Refused() const {
  return status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
         DetailsOf(status).info.reason() == "OVERLOADED" && Delay() > milliseconds(0);
}

milliseconds Caller::Delay() const {
  const google::protobuf::Duration delay = DetailsOf(status).retry.retry_delay();
  return milliseconds(1000 * delay.seconds() + delay.nanos() / 1'000'000);
}

Callers::Callers(const std::string& address, int count) {
  // Debian's absl looks for lock cycles at every lock, which costs more than all the rest.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // or all channels share a connection
  for (int i = 0; i < kChannels; ++i) {
    const auto channel =
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
    channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(60));
    stubs_.emplace_back(channel);
  }
  for (int i = 0; i < count; ++i) {
    all_.push_back(std::make_unique<Caller>(&stubs_[i % stubs_.size()]));
  }
}

Callers::~Callers() {
  // Alarms that were cancelled come out first.
  queue_.Shutdown();
  void* tag = nullptr;
  for (bool ok = false; queue_.Next(&tag, &ok);) continue;
}

void Callers::Start(Caller& caller, const std::string& method,
                    const google::protobuf::Message& request, milliseconds timeout) {
  caller.method = method;
  caller.reader.reset();
  caller.context.emplace();
  const auto deadline = std::chrono::system_clock::now() + timeout;
  caller.context->set_deadline(deadline);
  caller.reader =
      caller.stub->PrepareUnaryCall(&*caller.context, "/twi.test.v1.WorkService/" + method,
                                    server::Buffer(request.SerializeAsString()), &queue_);
  caller.reader->StartCall();
  caller.reader->Finish(&caller.response, &caller.status, &caller.answer);
  caller.due = 1;
  Ring(caller, deadline + kGranularity);
}

void Callers::Ring(Caller& caller, std::chrono::system_clock::time_point time) {
  caller.rang.reset();
  ++caller.due;
  caller.alarm = std::make_unique<grpc::Alarm>();
  caller.alarm->Set(&queue_, time, &caller.ring);
}

Event& Callers::Next() {
  void* tag = nullptr;
  bool ok = false;
  queue_.Next(&tag, &ok);
  return *static_cast<Event*>(tag);
}

}  // namespace twi::testing

#include "server/call.h"

#include <grpc/grpc_security_constants.h>

#include <thread>

#include "server/pipeline.h"
#include "server/principal.h"
#include "server/trace.h"

#ifdef TWI_THREAD_SANITIZER
extern "C" void AnnotateHappensBefore(const char* file, int line, const volatile void* address);
extern "C" void AnnotateHappensAfter(const char* file, int line, const volatile void* address);
#else
#define AnnotateHappensBefore(file, line, address)
#define AnnotateHappensAfter(file, line, address)
#endif

namespace twi::server {
namespace {

std::chrono::steady_clock::time_point SteadyDeadline(const grpc::ServerContext& context,
                                                     std::chrono::steady_clock::time_point now,
                                                     std::chrono::milliseconds most) {
  const gpr_timespec left =
      gpr_time_sub(gpr_convert_clock_type(context.raw_deadline(), GPR_CLOCK_MONOTONIC),
                   gpr_now(GPR_CLOCK_MONOTONIC));
  // An absent deadline is infinitely far.
  const std::chrono::milliseconds given(gpr_time_to_millis(left));
  return now + std::min(given, most);
}

}  // namespace

void* Tag::ToQueue() {
  AnnotateHappensBefore(__FILE__, __LINE__, this);
  return this;
}

Tag* Tag::FromQueue(void* tag) {
  AnnotateHappensAfter(__FILE__, __LINE__, tag);
  return static_cast<Tag*>(tag);
}

void Call::Accept(Pipeline* pipeline, grpc::AsyncGenericService* service,
                  grpc::ServerCompletionQueue* queue) {
  Call* call = new Call(pipeline, service, queue);
  // Before the RPC comes, or gRPC never tells of its end.
  call->context_.AsyncNotifyWhenDone(call->done_event_.ToQueue());
  service->RequestCall(&call->context_, &call->stream_, queue, queue,
                       call->arrived_event_.ToQueue());
}

Call::Call(Pipeline* pipeline, grpc::AsyncGenericService* service,
           grpc::ServerCompletionQueue* queue)
    : pipeline_(pipeline), service_(service), queue_(queue) {
  pipeline_->Began();
}

Call::~Call() { pipeline_->Ended(); }

void Call::OnArrived(bool ok) {
  if (!ok) {
    // The server shuts down; "done" does not come for a call that never began.
    delete this;
    return;
  }
  Accept(pipeline_, service_, queue_);
  arrived_ = std::chrono::steady_clock::now();
  deadline_ = SteadyDeadline(context_, arrived_, pipeline_->default_deadline());
  method_ = pipeline_->Find(path());
  metrics_ = method_ == nullptr ? pipeline_->unknown_method() : method_->metrics;
  FindTrace();
  if (!pipeline_->Admit(*this)) return;
  if (method_->streaming()) {
    pipeline_->Serve(*this);
  } else {
    stream_.Read(&message_, received_event_.ToQueue());
  }
}

void Call::FindTrace() {
  constexpr char kName[] = "traceparent";
  const auto text = metadata(kName);
  // Two say nothing.
  if (!text || context_.client_metadata().count(kName) > 1) return;
  std::optional<TraceParent> parent = TraceParent::Parse(*text);
  if (!parent) return;
  trace_ = std::make_shared<const Trace>(*std::move(parent), pipeline_->exporter());
  AddTrailer(kName, trace_->ToTraceparent());
}

void Call::OnReceived(bool ok) {
  received_ += ok;
  if (ok && received_ == 1) received_bytes_ = message_.Length();
  if (ok && received_ == 1) {
    if (pipeline_->AnswerKept(*this)) return;
    // Whether another message follows decides if this is a unary call at all.
    stream_.Read(&extra_message_, received_event_.ToQueue());
  } else {
    pipeline_->Serve(*this);
  }
}

void Call::OnIo(bool ok) {
  while (!io_begun_.load(std::memory_order_acquire)) std::this_thread::yield();
  // Nobody waits for it any more.
  if (!awaits_.exchange(false)) return Release();
  io_ok_ = ok;
  if (ok && reading_) received_bytes_ += message_.Length();
  waiter_.resume();
}

void Call::LimitWaits(std::chrono::steady_clock::time_point until) {
  holders_.fetch_add(1, std::memory_order_relaxed);
  limit_ = std::make_unique<grpc::Alarm>();
  limit_->Set(queue_,
              std::chrono::system_clock::now() +
                  std::chrono::duration_cast<std::chrono::system_clock::duration>(
                      until - std::chrono::steady_clock::now()),
              limit_event_.ToQueue());
}

void Call::OnLimit(bool ok) {
  if (ok) {
    late_ = true;
    if (awaits_ && !reading_) {
      // A status would wait behind what the client does not read.
      context_.TryCancel();
    } else if (awaits_.exchange(false)) {
      // The message may come yet, or the end of the call.
      holders_.fetch_add(1, std::memory_order_relaxed);
      while (!io_begun_.load(std::memory_order_acquire)) std::this_thread::yield();
      waiter_.resume();
    }
  }
  Release();
}

std::optional<std::string_view> Call::metadata(const char* name) const {
  const auto& all = context_.client_metadata();
  const auto found = all.find(name);
  if (found == all.end()) return std::nullopt;
  return std::string_view(found->second.data(), found->second.size());
}

std::vector<std::string> Call::certificate_names() const {
  std::vector<std::string> names;
  const auto peer = context_.auth_context();
  if (peer == nullptr || !peer->IsPeerAuthenticated()) return names;
  for (const grpc::string_ref& name : peer->FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME)) {
    names.emplace_back(name.data(), name.size());
  }
  return names;
}

const sql::Flow* Call::flow() const {
  return principal_ == nullptr ? nullptr : &principal_->flow();
}

void Call::OnCancel(std::function<void()> listener) {
  {
    std::lock_guard lock(mutex_);
    if (!cancelled_) {
      on_cancel_ = std::move(listener);
      return;
    }
  }
  if (listener) listener();
}

void Call::Finish(const grpc::Status& status) {
  if (limit_ != nullptr) limit_->Cancel();
  // Off the queue's thread both events may come before gRPC has returned from here.
  holders_.fetch_add(1, std::memory_order_relaxed);
  const bool answer = status.ok() && method_ != nullptr && method_->answers_once();
  if (answer) {
    stream_.WriteAndFinish(response_, grpc::WriteOptions(), status, finished_event_.ToQueue());
  } else {
    stream_.Finish(status, finished_event_.ToQueue());
  }
  Release();
}

void Call::OnFinished(bool) { Release(); }

void Call::OnDone(bool) {
  if (context_.IsCancelled()) {
    std::function<void()> listener;
    {
      std::lock_guard lock(mutex_);
      cancelled_ = true;
      listener = std::move(on_cancel_);
    }
    if (listener) listener();
  }
  Release();
}

void Call::Release() {
  if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete this;
  }
}

}  // namespace twi::server

#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "sql/flow.h"

namespace twi::server {

class Pipeline;
struct Method;
class MethodMetrics;
class Principal;
class Trace;

/// What a completion queue hands back. A tag crosses the queue in ToQueue and FromQueue only, which
/// tell ThreadSanitizer of the order that the queue guarantees and it cannot see.
class Tag {
 public:
  virtual void Complete(bool ok) = 0;
  void* ToQueue();
  static Tag* FromQueue(void* tag);

 protected:
  ~Tag() = default;
};

/// One RPC, from its arrival to the moment when gRPC needs nothing of it any more; then it deletes
/// itself. The pipeline's coroutine and gRPC's events both hold it; whoever called Finish must not
/// touch it again.
class Call {
 public:
  /// Asks gRPC for the next RPC; another one is asked for as soon as it has come. False once
  /// `queue` is shutting down.
  static void Accept(Pipeline* pipeline, grpc::AsyncGenericService* service,
                     grpc::ServerCompletionQueue* queue);

  /// `/twi.data.v1.QuotesService/GetQuote`
  const std::string& path() const { return context_.method(); }
  std::string peer() const { return context_.peer(); }
  /// The caller's metadata of that name, or nothing; the first when there are several.
  std::optional<std::string_view> metadata(const char* name) const;
  /// Metadata that the caller gets with the status.
  void AddTrailer(const char* name, const std::string& value) {
    context_.AddTrailingMetadata(name, value);
  }
  /// The names in the certificate that the caller has proved to have.
  std::vector<std::string> certificate_names() const;
  /// Null when there is no such method.
  const Method* method() const { return method_; }
  MethodMetrics& metrics() const { return *metrics_; }
  /// Who calls; null when that is not known.
  Principal* principal() const { return principal_; }
  void set_principal(Principal* principal) { principal_ = principal; }
  /// With whose calls it takes turns; null where access is not controlled.
  const sql::Flow* flow() const;

  /// The trace that it belongs to; null when its caller sent none.
  const std::shared_ptr<const Trace>& trace() const { return trace_; }

  std::chrono::steady_clock::time_point arrived() const { return arrived_; }
  /// The caller's deadline, or the default counted from the arrival.
  std::chrono::steady_clock::time_point deadline() const { return deadline_; }
  /// Set when the client is gone or its deadline has passed.
  const std::atomic<bool>& cancelled() const { return cancelled_; }
  /// Calls `listener` when that happens, or at once if it has; on the queue's thread. One at a
  /// time.
  void OnCancel(std::function<void()> listener);

  /// Of a unary call: the request, and how many messages came (2 stands for more).
  grpc::ByteBuffer& request() { return message_; }
  int received() const { return received_; }

  /// `co_await call.Read()` is true when request() holds the next message of the client, false when
  /// there is none any more. One at a time.
  auto Read() {
    return Awaited{this, true,
                   [](Call* call) { call->stream_.Read(&call->message_, call->io_.ToQueue()); }};
  }
  /// `co_await call.Greet()` sends the metadata that come before all responses, and is false when
  /// the client is gone. Once, and before any response.
  auto Greet() {
    return Awaited{this, false, [](Call* call) {
                     call->greeted_ = true;
                     call->stream_.SendInitialMetadata(call->io_.ToQueue());
                   }};
  }
  bool greeted() const { return greeted_; }
  /// `co_await call.Write()` sends response() and is true when the next may be written: it waits
  /// while the client reads slower than we write. False when the client is gone.
  auto Write() {
    return Awaited{this, false, [](Call* call) {
                     call->sent_bytes_ += call->response_.Length();
                     call->stream_.Write(call->response_, call->io_.ToQueue());
                   }};
  }
  grpc::ByteBuffer& response() { return response_; }

  /// Bytes of messages that came and that went; of the answer, which goes with the status, `answer`
  /// says whether it does.
  size_t received_bytes() const { return received_bytes_; }
  size_t sent_bytes(bool answer) const {
    return sent_bytes_ + (answer && response_.Valid() ? response_.Length() : 0);
  }
  /// Where the answer came from; "" when it could not be in the cache.
  const char* from() const { return from_; }
  void set_from(const char* from) { from_ = from; }

  /// `co_await call.Pause(duration)` returns after that time.
  auto Pause(std::chrono::milliseconds duration) {
    alarm_ = std::make_unique<grpc::Alarm>();
    pause_until_ = std::chrono::system_clock::now() + duration;
    return Awaited{this, false, [](Call* call) {
                     call->alarm_->Set(call->queue_, call->pause_until_, call->io_.ToQueue());
                   }};
  }

  /// Read and Write wait for the client until then, and no longer: then they are false, and late()
  /// is true. Once a call.
  void LimitWaits(std::chrono::steady_clock::time_point until);
  bool late() const { return late_; }

  /// Ends the call: with response() when `status` is OK and the method answers once.
  void Finish(const grpc::Status& status);

 private:
  /// A tag that calls a member function.
  template <void (Call::*kHandle)(bool)>
  class Event final : public Tag {
   public:
    explicit Event(Call* call) : call_(call) {}
    void Complete(bool ok) override { (call_->*kHandle)(ok); }

   private:
    Call* const call_;
  };

  /// An asynchronous operation of gRPC that a coroutine awaits.
  struct Awaited {
    Call* call;
    bool reading;
    void (*begin)(Call*);
    // Once late, nothing is begun beside a read that was given up and is still to end.
    bool await_ready() const {
      if (!call->late_) return false;
      call->io_ok_ = false;
      return true;
    }
    bool await_suspend(std::coroutine_handle<> waiter) {
      call->waiter_ = waiter;
      call->io_ok_ = false;
      call->reading_ = reading;
      call->io_begun_.store(false, std::memory_order_relaxed);
      call->awaits_ = true;
      // Who sets the one looks at the other then.
      if (call->late_ && call->awaits_.exchange(false)) return false;
      begin(call);
      // Off the queue's thread the event may have come already; it waits for this, and then the
      // call may go.
      call->io_begun_.store(true, std::memory_order_release);
      return true;
    }
    bool await_resume() const { return call->io_ok_; }
  };

  Call(Pipeline* pipeline, grpc::AsyncGenericService* service, grpc::ServerCompletionQueue* queue);
  ~Call();

  /// Goes on with the caller's trace, if it sent one.
  void FindTrace();

  void OnArrived(bool ok);
  void OnReceived(bool ok);
  void OnIo(bool ok);
  void OnLimit(bool ok);
  void OnFinished(bool ok);
  void OnDone(bool ok);
  void Release();

  Pipeline* const pipeline_;
  grpc::AsyncGenericService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  Event<&Call::OnArrived> arrived_event_{this};
  Event<&Call::OnReceived> received_event_{this};
  Event<&Call::OnIo> io_{this};
  Event<&Call::OnLimit> limit_event_{this};
  Event<&Call::OnFinished> finished_event_{this};
  Event<&Call::OnDone> done_event_{this};

  const Method* method_ = nullptr;
  MethodMetrics* metrics_ = nullptr;
  Principal* principal_ = nullptr;
  std::shared_ptr<const Trace> trace_;
  std::chrono::steady_clock::time_point arrived_;
  std::chrono::steady_clock::time_point deadline_;
  std::unique_ptr<grpc::Alarm> alarm_;  ///< Made when it is needed.
  std::chrono::system_clock::time_point pause_until_;
  std::unique_ptr<grpc::Alarm> limit_;  ///< Of LimitWaits.
  grpc::ByteBuffer message_;
  grpc::ByteBuffer extra_message_;
  grpc::ByteBuffer response_;
  int received_ = 0;
  bool greeted_ = false;
  size_t received_bytes_ = 0;
  size_t sent_bytes_ = 0;
  const char* from_ = "";
  bool reading_ = false;  ///< What is awaited of the stream is a message, if anything is.
  std::coroutine_handle<> waiter_;
  bool io_ok_ = false;
  std::atomic<bool> io_begun_{false};
  /// A coroutine awaits the operation; whoever takes this back resumes it.
  std::atomic<bool> awaits_{false};
  std::atomic<bool> late_{false};

  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::function<void()> on_cancel_;  ///< Guarded by mutex_.

  /// gRPC's "done" event and the pipeline: deleted when both are through.
  std::atomic<int> holders_{2};
};

}  // namespace twi::server

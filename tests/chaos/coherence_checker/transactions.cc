#include "tests/chaos/coherence_checker/transactions.h"

#include <grpcpp/grpcpp.h>

#include <optional>
#include <random>

#include "server/wire.h"
#include "twi/data/v1/transaction.pb.h"

namespace twi::checker {

using data::v1::TransactionRequest;
using data::v1::TransactionResponse;

/// One call of Transaction, whose steps are answered one by one.
class Transactions::Conversation {
 public:
  explicit Conversation(grpc::GenericStub& stub) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    stream_ = stub.PrepareCall(&context_, "/twi.data.v1.DatabaseService/Transaction", &queue_);
    stream_->StartCall(this);
    Next();
  }
  ~Conversation() {
    stream_->WritesDone(this);
    Next();
    grpc::Status status;
    stream_->Finish(&status, this);
    Next();
  }

  /// False when the call is over.
  bool Step(const TransactionRequest& step, TransactionResponse* response) {
    stream_->Write(server::Buffer(step.SerializeAsString()), this);
    if (!Next()) return false;
    grpc::ByteBuffer bytes;
    stream_->Read(&bytes, this);
    return Next() && server::Parse(&bytes, response).ok();
  }

 private:
  bool Next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::CompletionQueue queue_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

Transactions::Transactions(Clock::duration pause, Ledger* ledger)
    : pause_(pause), ledger_(ledger), thread_([this] { Run(); }) {}

void Transactions::Serve(size_t replica, const std::string& address) {
  std::lock_guard lock(mutex_);
  stubs_[replica] = std::make_shared<grpc::GenericStub>(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

void Transactions::Stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void Transactions::Run() {
  std::mt19937 random(1);
  std::exponential_distribution<double> share(1);
  const auto draw = [&](size_t below) {
    return std::uniform_int_distribution<size_t>(0, below - 1)(random);
  };
  while (!stopping_) {
    Write(draw(kReplicas), draw(kKeys));
    std::this_thread::sleep_for(share(random) * pause_);
  }
}

void Transactions::Write(size_t replica, size_t key) {
  std::shared_ptr<grpc::GenericStub> stub;
  {
    std::lock_guard lock(mutex_);
    stub = stubs_[replica];
  }
  if (stub == nullptr) return;
  Conversation conversation(*stub);
  std::optional<int64_t> version;
  const auto step = [&](auto set) {
    TransactionRequest request;
    set(request);
    TransactionResponse response;
    if (!conversation.Step(request, &response) || response.has_error()) return false;
    const auto& table = response.outcome().table();
    if (table.rows_size() == 1) version = table.rows(0).values(0).integer();
    return true;
  };
  const auto write = [&](TransactionRequest& request) {
    request.mutable_execute()->set_sql("update reg set v = v + 1 where k = $1 returning v");
    request.mutable_execute()->add_parameters()->set_integer(static_cast<int64_t>(key));
  };
  ledger_->Begin(key);
  // What is rolled back to the savepoint must be seen by nobody.
  const bool through =
      step([](TransactionRequest& request) { request.mutable_begin(); }) &&
      step([](TransactionRequest& request) { request.set_savepoint("before"); }) && step(write) &&
      step([](TransactionRequest& request) { request.set_rollback_to("before"); }) && step(write);
  const std::optional<int64_t> written = version;
  if (!through || !written) return;
  // Of four, one goes without a word.
  if (key % 4 == 3) return;
  if (!step([](TransactionRequest& request) { request.mutable_commit(); })) return;
  ledger_->Acknowledge(key, *written, replica);
  ++committed_;
}

}  // namespace twi::checker

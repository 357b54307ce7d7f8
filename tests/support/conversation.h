#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "google/protobuf/message.h"
#include "server/wire.h"

namespace twi::testing {

/// Messages of a call sent and received one by one, by any method.
class Conversation {
 public:
  Conversation(grpc::GenericStub& stub, const std::string& path,
               std::chrono::milliseconds timeout = std::chrono::seconds(30)) {
    context_.set_deadline(std::chrono::system_clock::now() + timeout);
    stream_ = stub.PrepareCall(&context_, path, &queue_);
    stream_->StartCall(this);
    Wait();
  }

  bool Write(const google::protobuf::Message& message) {
    stream_->Write(server::Buffer(message.SerializeAsString()), this);
    return Wait();
  }
  void WritesDone() {
    stream_->WritesDone(this);
    Wait();
  }
  bool Read(google::protobuf::Message* message) {
    grpc::ByteBuffer bytes;
    stream_->Read(&bytes, this);
    return Wait() && server::Parse(&bytes, message).ok();
  }
  grpc::Status Finish() {
    grpc::Status status;
    stream_->Finish(&status, this);
    Wait();
    return status;
  }
  grpc::ClientContext& context() { return context_; }

 private:
  bool Wait() {
    void* tag = nullptr;
    bool ok = false;
    queue_.Next(&tag, &ok);
    return ok;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

}  // namespace twi::testing

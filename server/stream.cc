#include "server/stream.h"

#include "server/method.h"
#include "server/wire.h"
#include "sql/errors.h"

namespace twi::server {

Task<absl::StatusOr<bool>> Stream::Read(google::protobuf::Message* message) {
  const bool read = co_await call_->Read();
  if (!read && call_->late()) co_return sql::TooLate();
  if (!read && call_->method()->answers_once() && !call_->greeted()) {
    // The messages of a client that is gone end like those of one that has sent them all, and that
    // it is gone may be told later. But nothing can be sent to it any more.
    const bool there = co_await call_->Greet();
    if (!there) co_return sql::GaveUp();
  }
  if (!read) co_return false;
  absl::Status status = CheckSize(call_->request(), call_->method()->message_limit);
  if (status.ok()) status = Parse(&call_->request(), message);
  if (status.ok()) status = call_->method()->validator.Check(message);
  if (!status.ok()) co_return status;
  call_->method()->metrics->Received();
  co_return true;
}

Task<absl::Status> Stream::ReadFirst(google::protobuf::Message* message) {
  Task<absl::StatusOr<bool>> reading = Read(message);
  const absl::StatusOr<bool> read = co_await reading;
  if (!read.ok()) co_return read.status();
  co_return *read ? absl::OkStatus() : Refused("a call without a request");
}

Task<bool> Stream::Write(const google::protobuf::Message& message) {
  Task<bool> writing = WriteBytes(message.SerializeAsString());
  const bool written = co_await writing;
  co_return written;
}

void Stream::Answer(const google::protobuf::Message& message) {
  call_->response() = Buffer(message.SerializeAsString());
}

Task<bool> Stream::WriteBytes(std::string bytes) {
  call_->response() = Buffer(std::move(bytes));
  const bool written = co_await call_->Write();
  if (written) call_->method()->metrics->Sent();
  co_return written;
}

}  // namespace twi::server

#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"

namespace twi::server {

/// Reads `buffer` into `message`. INVALID_ARGUMENT (REQUEST_MALFORMED) when it is none of its type.
absl::Status Parse(grpc::ByteBuffer* buffer, google::protobuf::Message* message);

/// RESOURCE_EXHAUSTED (MESSAGE_TOO_LARGE) when `buffer` has more bytes than that.
absl::Status CheckSize(const grpc::ByteBuffer& buffer, size_t limit);

/// UNIMPLEMENTED (CALL_REFUSED): the call has not as many requests as its method takes.
absl::Status Refused(const char* why);

/// `bytes` as gRPC sends them, without a copy.
grpc::ByteBuffer Buffer(std::string bytes);
/// The same for bytes that others send too.
grpc::ByteBuffer Buffer(std::shared_ptr<const std::string> bytes);

/// All bytes of `buffer`, in one piece.
grpc::Slice Bytes(grpc::ByteBuffer* buffer);

/// The status as callers get it: with google.rpc.Status in `grpc-status-details-bin`, which holds
/// ErrorInfo (domain `data.twi`, the error's reason and facts, and `operation`), RetryInfo where
/// trying again helps, and BadRequest. At most 4 KiB: clients drop headers over 8 KiB.
grpc::Status ToGrpc(const absl::Status& status, const std::string& operation);

}  // namespace twi::server

#include "server/service.h"

namespace twi::server {

absl::Status Service::Answer(const google::protobuf::MethodDescriptor& method,
                             const google::protobuf::Message&, google::protobuf::Message*) {
  return absl::UnimplementedError(method.full_name());
}

Task<absl::Status> Service::Converse(const google::protobuf::MethodDescriptor& method, Stream) {
  co_return absl::UnimplementedError(method.full_name());
}

}  // namespace twi::server

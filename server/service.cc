#include "server/service.h"

namespace twi::server {

Task<absl::Status> Service::Answer(Call& call, const google::protobuf::Message&,
                                   google::protobuf::Message*) {
  co_return absl::UnimplementedError(call.path());
}

Task<absl::Status> Service::Converse(const google::protobuf::MethodDescriptor& method, Stream) {
  co_return absl::UnimplementedError(method.full_name());
}

}  // namespace twi::server

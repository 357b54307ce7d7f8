#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/service.h"

namespace twi::server {

/// grpc.reflection.v1.ServerReflection: names `services` (full names) and describes whatever is
/// compiled in.
std::unique_ptr<Service> MakeReflectionV1(std::vector<std::string> services);

/// The same as grpc.reflection.v1alpha.ServerReflection, which older clients ask.
std::unique_ptr<Service> MakeReflectionV1Alpha(std::vector<std::string> services);

}  // namespace twi::server

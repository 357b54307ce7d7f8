#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>

#include <memory>

#include "server/tls_files.h"

namespace twi::server {

/// How gRPC listens: TLS from version 1.2 on, or plain. The files are looked at each second, and
/// what is new in them counts for connections that come afterwards; put the certificate and its key
/// in place together, as by a link to their folder that is changed.
std::shared_ptr<grpc::ServerCredentials> ListenerCredentials(const TlsFiles& files);

/// How a probe on the same machine connects, which asks nobody for his name.
std::shared_ptr<grpc::ChannelCredentials> ProbeCredentials(const TlsFiles& files);

}  // namespace twi::server

#include "server/tls.h"

#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

namespace twi::server {

using grpc::experimental::FileWatcherCertificateProvider;

std::shared_ptr<grpc::ServerCredentials> ListenerCredentials(const TlsFiles& files) {
  if (!files.enabled()) return grpc::InsecureServerCredentials();
  constexpr unsigned kEverySeconds = 1;
  grpc::experimental::TlsServerCredentialsOptions options(
      files.client_ca.empty() ? std::make_shared<FileWatcherCertificateProvider>(
                                    files.key, files.certificate, kEverySeconds)
                              : std::make_shared<FileWatcherCertificateProvider>(
                                    files.key, files.certificate, files.client_ca, kEverySeconds));
  options.watch_identity_key_cert_pairs();
  if (!files.client_ca.empty()) {
    options.watch_root_certs();
    // Who has none may show a token.
    options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

std::shared_ptr<grpc::ChannelCredentials> ProbeCredentials(const TlsFiles& files) {
  if (!files.enabled()) return grpc::InsecureChannelCredentials();
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);
  options.set_check_call_host(false);
  options.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace twi::server

#pragma once

#include <string>

namespace twi::server {

/// Where the PEM files of TLS are; without a certificate there is no TLS. They are read again when
/// they change.
struct TlsFiles {
  std::string certificate;  ///< The server's, with its chain.
  std::string key;          ///< Its private key.
  std::string client_ca;    ///< Who signs certificates of clients; nothing: they show none.

  bool enabled() const { return !certificate.empty(); }
};

}  // namespace twi::server

#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace twi::testing {

/// PEM texts.
struct KeyPair {
  std::string certificate;
  std::string key;
};

/// Signs certificates for servers of a test.
class Authority {
 public:
  Authority();

  /// Its own certificate, in PEM.
  const std::string& certificate() const { return pair_.certificate; }

  /// A new certificate of `name` for 127.0.0.1 and `localhost`, with a new key.
  KeyPair Sign(const std::string& name) const;

 private:
  std::shared_ptr<EVP_PKEY> key_;
  std::shared_ptr<X509> own_;
  KeyPair pair_;
};

/// `key`, which is in PEM, under a passphrase.
std::string Encrypted(const std::string& key);

/// The subject's name in a certificate.
std::string NameOf(X509* certificate);

/// A folder of a test's own with the files of a server's TLS.
class CertificateFolder {
 public:
  CertificateFolder();
  ~CertificateFolder();
  CertificateFolder(const CertificateFolder&) = delete;
  CertificateFolder& operator=(const CertificateFolder&) = delete;

  std::string certificate() const { return path_ + "/tls.crt"; }
  std::string key() const { return path_ + "/tls.key"; }
  std::string authority() const { return path_ + "/ca.crt"; }

  /// Each file is there whole or not at all; first the certificate, then the key.
  void Write(const KeyPair& pair) const;
  static void Write(const std::string& path, const std::string& text);

 private:
  std::string path_;
};

}  // namespace twi::testing

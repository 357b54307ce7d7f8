#include "server/certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/file.h"
#include "server/log.h"
#include "sql/text.h"

namespace twi::server {
namespace {

/// Those with forward secrecy that nobody has broken. TLS 1.3 has no others.
constexpr char kCiphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

template <auto Free>
struct Freed {
  template <typename Object>
  void operator()(Object* object) const {
    Free(object);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using X509Pointer = std::unique_ptr<X509, Freed<X509_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

/// After what failed has set errno.
absl::Status Unread(absl::string_view what, const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat("cannot read the ", what, " ", path, ": ", std::strerror(errno)));
}

absl::Status Wrong(absl::string_view what, const std::string& path, absl::string_view fault) {
  return absl::InvalidArgumentError(absl::StrCat("the ", what, " ", path, " ", fault));
}

/// As the library names it: `ee key too small`.
std::string Refusal() {
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  return absl::StrCat("is refused: ", reason == nullptr ? "no reason known" : reason);
}

/// In place of the library's own, which asks at the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

X509Pointer NextCertificate(BIO* in) {
  return X509Pointer(PEM_read_bio_X509(in, nullptr, NoPassphrase, nullptr));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Certificate>> Certificate::Load(const TlsFiles& files,
                                                               absl::Duration interval) {
  std::unique_ptr<Certificate> certificate(new Certificate(files, interval));
  if (const absl::Status status = certificate->Look(); !status.ok()) return status;
  return certificate;
}

Certificate::Certificate(const TlsFiles& files, absl::Duration interval)
    : files_(files),
      interval_(absl::ToChronoNanoseconds(interval)),
      looked_(Clock::now()),
      seen_(absl::UnknownError("not read yet")) {}

std::shared_ptr<SSL_CTX> Certificate::Current() {
  const std::lock_guard lock(mutex_);
  if (const auto now = Clock::now(); now - looked_ >= interval_) {
    looked_ = now;
    const auto before = current_;
    if (const absl::Status status = Look(); !status.ok()) {
      Log(LogLevel::kError, "new certificate not taken over", {{"error", ToStd(status.message())}});
    } else if (current_ != before) {
      Log(LogLevel::kInfo, "new certificate taken over", {{"file", files_.certificate}});
    }
  }
  return current_;
}

absl::Status Certificate::Look() {
  absl::StatusOr<Texts> texts = Read(files_);
  if (texts == seen_) return absl::OkStatus();
  seen_ = std::move(texts);
  if (!seen_.ok()) return seen_.status();
  auto made = Make(files_, *seen_);
  if (!made.ok()) return made.status();
  current_ = *std::move(made);
  return absl::OkStatus();
}

absl::StatusOr<Certificate::Texts> Certificate::Read(const TlsFiles& files) {
  auto certificate = ReadFile(files.certificate);
  if (!certificate.has_value()) return Unread("certificate", files.certificate);
  auto key = ReadFile(files.key);
  if (!key.has_value()) return Unread("key", files.key);
  return Texts{*std::move(certificate), *std::move(key)};
}

absl::StatusOr<std::shared_ptr<SSL_CTX>> Certificate::Make(const TlsFiles& files,
                                                           const Texts& texts) {
  ERR_clear_error();
  const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  if (context == nullptr || SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context.get(), kCiphers) != 1) {
    return absl::InternalError(absl::StrCat("TLS ", Refusal()));
  }
  // A connection carries one request: there is nothing to renegotiate or to resume.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);

  const Bio certificates(
      BIO_new_mem_buf(texts.certificate.data(), static_cast<int>(texts.certificate.size())));
  const X509Pointer own = NextCertificate(certificates.get());
  if (own == nullptr) return Wrong("certificate", files.certificate, "holds no certificate in PEM");
  if (SSL_CTX_use_certificate(context.get(), own.get()) != 1) {
    return Wrong("certificate", files.certificate, Refusal());
  }
  while (const X509Pointer next = NextCertificate(certificates.get())) {
    if (SSL_CTX_add1_chain_cert(context.get(), next.get()) != 1) {
      return Wrong("certificate", files.certificate, Refusal());
    }
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return Wrong("certificate", files.certificate, "has a chain that is broken");
  }
  ERR_clear_error();

  const Bio keys(BIO_new_mem_buf(texts.key.data(), static_cast<int>(texts.key.size())));
  const KeyPointer key(PEM_read_bio_PrivateKey(keys.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) return Wrong("key", files.key, "holds no key in PEM without a passphrase");
  if (X509_check_private_key(own.get(), key.get()) != 1) {
    return Wrong("key", files.key,
                 absl::StrCat("does not belong to the certificate ", files.certificate));
  }
  if (SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1) {
    return Wrong("key", files.key, Refusal());
  }
  return context;
}

}  // namespace twi::server

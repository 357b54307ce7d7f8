#include "tests/support/authority.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace twi::testing {
namespace {

template <typename Result>
Result Check(Result result, const char* what) {
  if (result) return result;
  std::fprintf(stderr, "OpenSSL: %s\n", what);
  std::abort();
}

std::shared_ptr<EVP_PKEY> NewKey() {
  return {Check(EVP_EC_gen("P-256"), "EVP_EC_gen"), EVP_PKEY_free};
}

/// What `write` writes into a BIO.
template <typename Write>
std::string Pem(Write write) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
  Check(write(out.get()), "PEM_write");
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<size_t>(size)};
}

std::string PemOf(X509* certificate) {
  return Pem([&](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}

std::string PemOf(EVP_PKEY* key) {
  return Pem([&](BIO* out) {
    return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

void Extend(X509* certificate, int nid, const char* value) {
  X509_EXTENSION* const extension =
      Check(X509V3_EXT_conf_nid(nullptr, nullptr, nid, value), "X509V3_EXT_conf_nid");
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

std::shared_ptr<X509> Unsigned(const std::string& name, EVP_PKEY* key) {
  std::shared_ptr<X509> made(X509_new(), X509_free);
  X509_set_version(made.get(), X509_VERSION_3);
  uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(made.get()), serial);
  // A day around now, for clocks that differ.
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -86400);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 86400);
  X509_NAME_add_entry_by_NID(X509_get_subject_name(made.get()), NID_commonName, MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.data()),
                             static_cast<int>(name.size()), -1, 0);
  X509_set_pubkey(made.get(), key);
  return made;
}

}  // namespace

Authority::Authority() : key_(NewKey()), own_(Unsigned("authority", key_.get())) {
  X509_set_issuer_name(own_.get(), X509_get_subject_name(own_.get()));
  Extend(own_.get(), NID_basic_constraints, "critical,CA:TRUE");
  Check(X509_sign(own_.get(), key_.get(), EVP_sha256()), "X509_sign");
  pair_ = {PemOf(own_.get()), PemOf(key_.get())};
}

KeyPair Authority::Sign(const std::string& name) const {
  const std::shared_ptr<EVP_PKEY> key = NewKey();
  const std::shared_ptr<X509> made = Unsigned(name, key.get());
  X509_set_issuer_name(made.get(), X509_get_subject_name(own_.get()));
  Extend(made.get(), NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
  Check(X509_sign(made.get(), key_.get(), EVP_sha256()), "X509_sign");
  return {PemOf(made.get()), PemOf(key.get())};
}

std::string Encrypted(const std::string& key) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> in(
      BIO_new_mem_buf(key.data(), static_cast<int>(key.size())), BIO_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> read(
      PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  const std::string passphrase = "open sesame";
  return Pem([&](BIO* out) {
    return PEM_write_bio_PrivateKey(out, read.get(), EVP_aes_128_cbc(),
                                    reinterpret_cast<const unsigned char*>(passphrase.data()),
                                    static_cast<int>(passphrase.size()), nullptr, nullptr);
  });
}

std::string NameOf(X509* certificate) {
  char name[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  return name;
}

CertificateFolder::CertificateFolder() {
  char folder[] = "/tmp/twi-certificates.XXXXXX";
  path_ = Check(mkdtemp(folder), "mkdtemp");
}

CertificateFolder::~CertificateFolder() { std::filesystem::remove_all(path_); }

void CertificateFolder::Write(const KeyPair& pair) const {
  Write(certificate(), pair.certificate);
  Write(key(), pair.key);
}

void CertificateFolder::Write(const std::string& path, const std::string& text) {
  std::ofstream(path + ".new") << text;
  std::filesystem::rename(path + ".new", path);
}

}  // namespace twi::testing

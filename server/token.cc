#include "server/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <cstdlib>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace twi::server {

absl::StatusOr<Digest> Digest::Parse(std::string_view hex) {
  Digest digest;
  const absl::string_view text(hex.data(), hex.size());
  if (text.size() != 2 * digest.bytes.size() || !std::ranges::all_of(text, absl::ascii_isxdigit)) {
    return absl::InvalidArgumentError("a SHA-256 is 64 hexadecimal digits");
  }
  std::ranges::copy(absl::HexStringToBytes(text), digest.bytes.begin());
  return digest;
}

Digest Digest::Of(std::string_view text) {
  // To look the algorithm up and to make a context takes longer than the digest itself.
  static const EVP_MD* const kSha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  thread_local std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                               EVP_MD_CTX_free);
  Digest digest;
  if (EVP_DigestInit_ex2(context.get(), kSha256, nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), text.data(), text.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), digest.bytes.data(), nullptr) != 1) {
    std::abort();
  }
  return digest;
}

std::string Digest::ToString() const {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

bool Digest::operator==(const Digest& other) const {
  return CRYPTO_memcmp(bytes.data(), other.bytes.data(), bytes.size()) == 0;
}

std::string NewToken() {
  std::array<uint8_t, 24> random;
  if (RAND_bytes(random.data(), random.size()) != 1) std::abort();
  return absl::StrCat("twi_", absl::WebSafeBase64Escape(absl::string_view(
                                  reinterpret_cast<const char*>(random.data()), random.size())));
}

}  // namespace twi::server

#include "server/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "sql/text.h"
#include "tests/support/authority.h"

namespace twi::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using twi::testing::Authority;
using twi::testing::CertificateFolder;
using twi::testing::KeyPair;

/// Whose certificate new connections are shown.
std::string Shown(Certificate* certificate) {
  return twi::testing::NameOf(SSL_CTX_get0_certificate(certificate->Current().get()));
}

class CertificateTest : public ::testing::Test {
 protected:
  CertificateTest() { folder_.Write(first_); }

  TlsFiles Files() const { return {folder_.certificate(), folder_.key(), ""}; }

  /// One that looks at its files each time.
  std::unique_ptr<Certificate> Load() const {
    auto loaded = Certificate::Load(Files(), absl::ZeroDuration());
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return *std::move(loaded);
  }

  /// What is said of the files as they are, which are wrong.
  std::string Fault() const {
    const absl::Status status = Certificate::Load(Files()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  }

  const Authority authority_;
  const KeyPair first_ = authority_.Sign("first");
  const CertificateFolder folder_;
};

TEST_F(CertificateTest, SaysWhatIsWrongWithWhichFile) {
  const std::string certificate = folder_.certificate();
  const std::string key = folder_.key();
  const KeyPair other = authority_.Sign("other");
  // Its end is missing.
  const std::string half = first_.certificate.substr(0, first_.certificate.size() / 2);

  const auto write = [](const std::string& path, const std::string& text) {
    CertificateFolder::Write(path, text);
  };
  for (const std::string& text : {std::string(), std::string("rubbish"), half, first_.key}) {
    write(certificate, text);
    EXPECT_EQ(Fault(),
              absl::StrCat("the certificate ", certificate, " holds no certificate in PEM"));
  }
  write(certificate, first_.certificate + half);
  EXPECT_EQ(Fault(), absl::StrCat("the certificate ", certificate, " has a chain that is broken"));
  std::filesystem::remove(certificate);
  EXPECT_EQ(Fault(), absl::StrCat("cannot read the certificate ", certificate,
                                  ": No such file or directory"));

  write(certificate, first_.certificate);
  for (const std::string& text : {std::string(), std::string("rubbish"), first_.certificate,
                                  twi::testing::Encrypted(first_.key)}) {
    write(key, text);
    EXPECT_EQ(Fault(), absl::StrCat("the key ", key, " holds no key in PEM without a passphrase"));
  }
  write(key, other.key);
  EXPECT_EQ(Fault(),
            absl::StrCat("the key ", key, " does not belong to the certificate ", certificate));
  std::filesystem::remove(key);
  EXPECT_EQ(Fault(), absl::StrCat("cannot read the key ", key, ": No such file or directory"));
  std::filesystem::create_directory(key);
  EXPECT_EQ(Fault(), absl::StrCat("cannot read the key ", key, ": Is a directory"));
}

TEST_F(CertificateTest, ShowsTheWholeChain) {
  CertificateFolder::Write(folder_.certificate(), first_.certificate + authority_.certificate());
  STACK_OF(X509)* chain = nullptr;
  const auto context = Load()->Current();
  SSL_CTX_get0_chain_certs(context.get(), &chain);
  ASSERT_EQ(sk_X509_num(chain), 1);
  EXPECT_EQ(twi::testing::NameOf(sk_X509_value(chain, 0)), "authority");
}

TEST_F(CertificateTest, ChangedFilesAreTakenOver) {
  const auto certificate = Load();
  const std::shared_ptr<SSL_CTX> before = certificate->Current();
  EXPECT_EQ(certificate->Current(), before);

  folder_.Write(authority_.Sign("second"));
  EXPECT_EQ(Shown(certificate.get()), "second");
  // For connections that have begun.
  EXPECT_EQ(twi::testing::NameOf(SSL_CTX_get0_certificate(before.get())), "first");
}

TEST_F(CertificateTest, APairThatWillNotDoChangesNothingAndIsLoggedOnce) {
  const auto certificate = Load();
  const KeyPair second = authority_.Sign("second");

  // What is logged when the files are looked at three times.
  const auto logged = [&] {
    ::testing::internal::CaptureStderr();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(Shown(certificate.get()), "first");
    return ::testing::internal::GetCapturedStderr();
  };
  const auto times = [](const std::string& text, const std::string& part) {
    int count = 0;
    for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
    return count;
  };

  CertificateFolder::Write(folder_.certificate(), second.certificate);
  const std::string mismatch = logged();
  EXPECT_EQ(times(mismatch, "new certificate not taken over"), 1) << mismatch;
  EXPECT_THAT(mismatch, AllOf(HasSubstr(folder_.key()), Not(HasSubstr("BEGIN"))));

  CertificateFolder::Write(folder_.key(), "rubbish");
  EXPECT_EQ(times(logged(), "new certificate not taken over"), 1);
  std::filesystem::remove(folder_.key());
  EXPECT_EQ(times(logged(), "new certificate not taken over"), 1);

  CertificateFolder::Write(folder_.key(), second.key);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(Shown(certificate.get()), "second");
  EXPECT_EQ(times(::testing::internal::GetCapturedStderr(), "new certificate taken over"), 1);
}

TEST_F(CertificateTest, TheFilesAreNotLookedAtMoreOften) {
  auto certificate = Certificate::Load(Files(), absl::InfiniteDuration());
  ASSERT_TRUE(certificate.ok());
  folder_.Write(authority_.Sign("second"));
  EXPECT_EQ(Shown(certificate->get()), "first");
}

}  // namespace
}  // namespace twi::server

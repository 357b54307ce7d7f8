#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/tls_files.h"

namespace twi::server {

/// The certificate and the key that a server of TLS shows, as its files have them. Clients are not
/// asked for theirs.
///
/// The files may be replaced at any time, one after the other too: a pair that does not load or
/// does not belong together changes nothing but the log, which tells of it once. Connections that
/// have begun keep what they began with. Thread-safe.
class Certificate {
 public:
  /// INVALID_ARGUMENT says what is wrong with which file, and nothing of what is in it. Later the
  /// files are looked at when a connection begins, but not more often than once an `interval`.
  static absl::StatusOr<std::unique_ptr<Certificate>> Load(
      const TlsFiles& files, absl::Duration interval = absl::Seconds(1));

  /// For a connection that begins now: TLS 1.2 or later.
  std::shared_ptr<SSL_CTX> Current();

 private:
  using Clock = std::chrono::steady_clock;

  /// What is in the files.
  struct Texts {
    std::string certificate;
    std::string key;

    bool operator==(const Texts&) const = default;
  };

  Certificate(const TlsFiles& files, absl::Duration interval);

  static absl::StatusOr<Texts> Read(const TlsFiles& files);
  static absl::StatusOr<std::shared_ptr<SSL_CTX>> Make(const TlsFiles& files, const Texts& texts);
  /// Reads the files, and takes over what is in them if that is new.
  absl::Status Look();

  const TlsFiles files_;
  const Clock::duration interval_;

  std::mutex mutex_;
  Clock::time_point looked_;
  /// Compared instead of times of change, which miss a second change within a clock tick.
  absl::StatusOr<Texts> seen_;
  std::shared_ptr<SSL_CTX> current_;
};

}  // namespace twi::server

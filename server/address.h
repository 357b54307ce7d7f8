#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace twi::server {

/// Where a server listens.
struct Address {
  std::string host;  ///< A name or an IP address, IPv6 without its brackets.
  int port = 0;      ///< 0: any free one.

  /// `127.0.0.1:9464`, `[::1]:9464`.
  std::string ToString() const;
};

/// Reads `HOST:PORT` or `[IPV6]:PORT`. INVALID_ARGUMENT says what is wrong with anything else.
absl::StatusOr<Address> ParseAddress(std::string_view listen);

/// Whether only this machine reaches `host`: 127.0.0.0/8, ::1 or `localhost`. Other names count as
/// reachable; nothing is resolved.
bool IsLoopback(std::string_view host);

/// Whether gRPC may listen on `listen` (`HOST:PORT`, or `unix:PATH`, which counts as loopback):
/// beyond loopback only when calls of anyone are not taken, or are `meant`. FAILED_PRECONDITION if
/// not, INVALID_ARGUMENT when it is not an address.
absl::Status CheckListen(std::string_view listen, bool meant);

}  // namespace twi::server

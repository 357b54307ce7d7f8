#include "server/address.h"

#include <arpa/inet.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "sql/text.h"

namespace twi::server {

std::string Address::ToString() const {
  const bool v6 = absl::StrContains(host, ':');
  return absl::StrCat(v6 ? "[" : "", host, v6 ? "]" : "", ":", port);
}

absl::StatusOr<Address> ParseAddress(std::string_view listen) {
  const absl::string_view text = ToAbsl(listen);
  const auto refusal = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is not HOST:PORT: ", why));
  };
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return refusal("there is no port");

  absl::string_view host = text.substr(0, colon);
  const bool brackets = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  if (host.empty()) return refusal("there is no host; for every interface write 0.0.0.0");
  if (!brackets && host.find_first_of("[]:") != host.npos) {
    return refusal("an IPv6 address needs brackets");
  }
  int port;
  if (!absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return refusal("the port is a number from 0 to 65535");
  }
  return Address{std::string(host), port};
}

bool IsLoopback(std::string_view host) {
  if (host == "localhost") return true;
  const std::string text(host);
  in_addr v4;
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6;
  return inet_pton(AF_INET6, text.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

absl::Status CheckListen(std::string_view listen, bool meant) {
  if (listen.starts_with("unix:")) return absl::OkStatus();
  const absl::StatusOr<Address> address = ParseAddress(listen);
  if (!address.ok()) return address.status();
  if (meant || IsLoopback(address->host)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("'", ToAbsl(listen),
                   "' can be reached from other machines: say who may call with --access_file, ",
                   "listen on 127.0.0.1, or let anyone call everything with --insecure"));
}

}  // namespace twi::server

#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "google/protobuf/descriptor.h"
#include "server/principal.h"
#include "server/token.h"
#include "twi/data/v1/access.pb.h"

namespace twi::server {

/// Whether a principal may have that name.
bool IsPrincipalName(std::string_view name);

/// Who calls, and what he may do: what an access file (twi/data/v1/access.proto) says. Thread-safe.
class Access {
 public:
  /// What a caller shows.
  struct Credentials {
    /// The metadata `authorization`; nothing: he has sent none.
    std::optional<std::string_view> authorization = std::nullopt;
    /// Names in the certificate that he has proved to have.
    std::vector<std::string> certificate_names = {};
  };

  /// `services` are what principals may be allowed, by the names of their methods.
  explicit Access(std::vector<const google::protobuf::ServiceDescriptor*> services);
  ~Access();

  /// Puts the rules of a file in force: calls that come from now on are held to them. All mistakes
  /// at once, a line each, as INVALID_ARGUMENT; then the rules stay what they were.
  absl::Status Load(const std::string& text);

  /// Who calls, and whether he may call `method` now, which is null when there is no such method.
  /// `*principal` becomes who calls as soon as that is known, also when he may not; then he has
  /// entered, and must leave. Else it stays as it is.
  ///
  ///   UNAUTHENTICATED      CREDENTIALS_MISSING, CREDENTIALS_INVALID
  ///   PERMISSION_DENIED    NOT_GRANTED
  ///   RESOURCE_EXHAUSTED   RATE_LIMITED, TOO_MANY_IN_FLIGHT
  absl::Status Enter(const google::protobuf::MethodDescriptor* method,
                     const Credentials& credentials, Principal** principal);

  /// Whether anybody may call the method. Then nobody is asked who he is.
  static bool Open(const google::protobuf::MethodDescriptor* method);

 private:
  using Methods = absl::flat_hash_set<const google::protobuf::MethodDescriptor*>;

  /// What a file says of a principal.
  struct Rules {
    Principal* principal = nullptr;
    std::string name;
    Methods allowed;
    double calls_per_second = 0;
    int calls_in_flight = 0;
    int weight = 1;
    Principal::RawRules raw_rules = {};
  };
  struct Key {
    const Rules* owner;
    absl::Time expires;
  };
  /// What a file says.
  struct Table {
    std::vector<std::unique_ptr<Rules>> rules;
    absl::flat_hash_map<Digest, Key> tokens;
    absl::flat_hash_map<std::string, const Rules*> certificates;
  };
  class Reader;

  /// Whose credentials they are, or null.
  static const Rules* Find(const Table& table, const Credentials& credentials);
  std::shared_ptr<const Table> table() const;

  const std::vector<const google::protobuf::ServiceDescriptor*> services_;

  mutable std::mutex mutex_;
  /// Both guarded by mutex_. Principals stay, for their calls do.
  std::shared_ptr<const Table> table_;
  absl::flat_hash_map<std::string, std::unique_ptr<Principal>> principals_;
};

}  // namespace twi::server

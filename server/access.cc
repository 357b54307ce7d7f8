#include "server/access.h"

#include <fnmatch.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "proto/descriptor_names.h"
#include "sql/errors.h"
#include "sql/text.h"
#include "twi/data/v1/options.pb.h"

namespace twi::server {
namespace {

using data::v1::AccessFile;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

constexpr char kHealth[] = "grpc.health.v1.Health";
// Of reflection: what it tells is in the protos.
constexpr char kOfGrpc[] = "grpc.";

constexpr int kLongestName = 63;
constexpr int kHeaviest = 100;
constexpr double kSlowest = 0.001;
constexpr double kFastest = 1e6;

data::v1::Grant GrantOf(const MethodDescriptor& method) {
  const data::v1::Grant own = method.options().GetExtension(data::v1::grant);
  if (own != data::v1::GRANT_UNSPECIFIED) return own;
  return method.service()->options().GetExtension(data::v1::service_grant);
}

bool ChangesNothing(const MethodDescriptor& method) {
  return method.options().idempotency_level() == google::protobuf::MethodOptions::NO_SIDE_EFFECTS;
}

/// Whether the grants of a principal include what the method needs.
bool Granted(const data::v1::Principal& said, const MethodDescriptor& method) {
  const data::v1::Grant grant = GrantOf(method);
  // Raw SQL is read only in another way.
  const bool changes = grant != data::v1::GRANT_RAW_SQL && !ChangesNothing(method);
  if (said.read_only() && changes) return false;
  switch (grant) {
    case data::v1::GRANT_RAW_SQL:
      return said.raw_sql();
    case data::v1::GRANT_ADMINISTRATION:
      return said.administration();
    default:
      return true;
  }
}

/// The token of `Bearer TOKEN`; empty when it is something else.
std::string_view TokenOf(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (!absl::StartsWithIgnoreCase(ToAbsl(authorization), ToAbsl(kScheme))) return "";
  return authorization.substr(kScheme.size());
}

/// Where the text is not what its format says.
class Mistakes : public google::protobuf::io::ErrorCollector {
 public:
  explicit Mistakes(std::vector<std::string>* lines) : lines_(lines) {}
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    lines_->push_back(absl::StrCat("line ", line + 1, ", column ", column + 1, ": ", message));
  }

 private:
  std::vector<std::string>* const lines_;
};

absl::Status Unknown(bool showed) {
  if (showed) {
    return sql::Error(absl::StatusCode::kUnauthenticated, "CREDENTIALS_INVALID",
                      "the token or the certificate is not known");
  }
  return sql::Error(absl::StatusCode::kUnauthenticated, "CREDENTIALS_MISSING",
                    "the metadata `authorization: Bearer <token>` is missing");
}

}  // namespace

bool IsPrincipalName(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && std::ranges::all_of(name, [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '_' || c == '-';
  });
}

/// Makes a table of a file, and a line of each mistake in it.
class Access::Reader {
 public:
  explicit Reader(const std::vector<const ServiceDescriptor*>* services) : services_(services) {}

  std::shared_ptr<Table> Read(const std::string& text) {
    AccessFile file;
    Mistakes collector(&mistakes_);
    google::protobuf::TextFormat::Parser parser;
    parser.RecordErrorsTo(&collector);
    if (!parser.ParseFromString(text, &file)) return nullptr;
    for (const auto& principal : file.principal()) Add(principal);
    for (const auto& token : file.token()) Add(token);
    return table_;
  }

  const std::vector<std::string>& mistakes() const { return mistakes_; }

 private:
  template <typename... Parts>
  void Mistake(const Parts&... parts) {
    mistakes_.push_back(absl::StrCat(parts...));
  }

  void Add(const data::v1::Principal& said) {
    const std::string& name = said.name();
    if (!IsPrincipalName(name)) {
      return Mistake("principal '", name, "': a name is 1 to 63 of a-z, 0-9 and ._-");
    }
    if (by_name_.contains(name)) return Mistake("principal ", name, ": it is there twice");
    if (said.calls_in_flight() < 0) {
      Mistake("principal ", name, ": calls_in_flight is from 0 on");
    }
    // Beyond these the time between two calls is none that a clock knows; nor is what is no number.
    const double rate = said.calls_per_second();
    if (rate != 0 && !(rate >= kSlowest && rate <= kFastest)) {
      Mistake("principal ", name, ": calls_per_second is 0, or from ", kSlowest, " to ", kFastest);
    }
    if (said.weight() < 0 || said.weight() > kHeaviest) {
      Mistake("principal ", name, ": its weight is from 1 to ", kHeaviest);
    }
    if (said.database_role().find('\0') != std::string::npos) {
      Mistake("principal ", name, ": database_role holds a zero byte");
    }
    auto rules = std::make_unique<Rules>();
    rules->name = name;
    rules->calls_per_second = rate;
    rules->calls_in_flight = said.calls_in_flight();
    rules->weight = std::max(said.weight(), 1);
    rules->raw_rules = {said.raw_sql(), said.read_only(), said.database_role()};
    for (const std::string& pattern : said.allow()) {
      if (!Allow(said, pattern, &rules->allowed)) {
        Mistake("principal ", name, ": there is no method '", pattern, "'");
      }
    }
    for (const std::string& certificate : said.certificate()) {
      if (!table_->certificates.emplace(certificate, rules.get()).second) {
        Mistake("principal ", name, ": the certificate '", certificate, "' is there twice");
      }
    }
    by_name_[name] = rules.get();
    table_->rules.push_back(std::move(rules));
  }

  /// False when the pattern fits no method.
  bool Allow(const data::v1::Principal& said, const std::string& pattern, Methods* allowed) const {
    bool fits = false;
    for (const ServiceDescriptor* service : *services_) {
      for (int i = 0; i < service->method_count(); ++i) {
        const MethodDescriptor* method = service->method(i);
        if (fnmatch(pattern.c_str(), OperationName(method).c_str(), FNM_NOESCAPE) != 0) continue;
        fits = true;
        if (Granted(said, *method)) allowed->insert(method);
      }
    }
    return fits;
  }

  void Add(const data::v1::Token& said) {
    const auto owner = by_name_.find(said.principal());
    if (owner == by_name_.end()) {
      return Mistake("token: there is no principal '", said.principal(), "'");
    }
    const auto digest = Digest::Parse(said.sha256());
    if (!digest.ok()) {
      return Mistake("token of ", said.principal(), ": ", digest.status().message());
    }
    const absl::Time expires = said.has_expire_time()
                                   ? absl::FromUnixSeconds(said.expire_time().seconds())
                                   : absl::InfiniteFuture();
    if (!table_->tokens.emplace(*digest, Key{owner->second, expires}).second) {
      Mistake("token of ", said.principal(), ": it is there twice");
    }
  }

  const std::vector<const ServiceDescriptor*>* const services_;
  const std::shared_ptr<Table> table_ = std::make_shared<Table>();
  absl::flat_hash_map<std::string, const Rules*> by_name_;
  std::vector<std::string> mistakes_;
};

Access::Access(std::vector<const ServiceDescriptor*> services)
    : services_(std::move(services)), table_(std::make_shared<Table>()) {}

Access::~Access() = default;

absl::Status Access::Load(const std::string& text) {
  Reader reader(&services_);
  const std::shared_ptr<Table> table = reader.Read(text);
  if (!reader.mistakes().empty()) {
    return absl::InvalidArgumentError(absl::StrJoin(reader.mistakes(), "\n"));
  }
  std::lock_guard lock(mutex_);
  for (const auto& rules : table->rules) {
    auto& principal = principals_[rules->name];
    if (principal == nullptr) principal = std::make_unique<Principal>(rules->name);
    principal->flow().weight = rules->weight;
    principal->set_raw_rules(rules->raw_rules);
    rules->principal = principal.get();
  }
  table_ = table;
  return absl::OkStatus();
}

std::shared_ptr<const Access::Table> Access::table() const {
  std::lock_guard lock(mutex_);
  return table_;
}

const Access::Rules* Access::Find(const Table& table, const Credentials& credentials) {
  // Whoever sends a token is who it says, whatever his certificate.
  if (credentials.authorization) {
    // What is looked up is a digest: how long that takes tells nothing of any token.
    const auto found = table.tokens.find(Digest::Of(TokenOf(*credentials.authorization)));
    if (found == table.tokens.end() || found->second.expires <= absl::Now()) return nullptr;
    return found->second.owner;
  }
  const Rules* owner = nullptr;
  for (const std::string& name : credentials.certificate_names) {
    const auto found = table.certificates.find(name);
    if (found == table.certificates.end()) continue;
    // A certificate of two principals is of neither.
    if (owner != nullptr && owner != found->second) return nullptr;
    owner = found->second;
  }
  return owner;
}

bool Access::Open(const MethodDescriptor* method) {
  return method != nullptr && method->service()->full_name() == kHealth;
}

absl::Status Access::Enter(const MethodDescriptor* method, const Credentials& credentials,
                           Principal** principal) {
  const std::shared_ptr<const Table> table = this->table();
  const Rules* rules = Find(*table, credentials);
  if (rules == nullptr) {
    return Unknown(credentials.authorization || !credentials.certificate_names.empty());
  }
  *principal = rules->principal;
  rules->principal->Entered();
  if (method == nullptr) return absl::OkStatus();
  if (!rules->allowed.contains(method) && !method->full_name().starts_with(kOfGrpc)) {
    return sql::Error(absl::StatusCode::kPermissionDenied, "NOT_GRANTED",
                      absl::StrCat(rules->name, " may not call ", OperationName(method)),
                      {{"principal", rules->name}});
  }
  if (rules->calls_in_flight > 0 && rules->principal->in_flight() > rules->calls_in_flight) {
    return sql::Error(absl::StatusCode::kResourceExhausted, "TOO_MANY_IN_FLIGHT",
                      absl::StrCat(rules->name, " has ", rules->calls_in_flight,
                                   " calls in flight already, as many as it may"));
  }
  if (rules->calls_per_second > 0) {
    const auto wait = rules->principal->Exceeds(rules->calls_per_second, sql::Clock::now());
    if (wait) {
      absl::Status status = sql::Error(
          absl::StatusCode::kResourceExhausted, "RATE_LIMITED",
          absl::StrCat(rules->name, " may begin ", rules->calls_per_second, " calls a second"));
      sql::SetRetryDelay(&status, std::chrono::ceil<std::chrono::milliseconds>(*wait));
      return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace twi::server

#include "repositories/form.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.pb.h"
#include "twi/data/v1/options.pb.h"

namespace twi::repositories {
namespace {

using google::protobuf::MethodDescriptor;
using google::protobuf::MethodOptions;

// Functions that outlive their statement on a connection that others share.
const std::set<std::string_view> kSessionFunctions = {"set_config",
                                                      "pg_advisory_lock",
                                                      "pg_advisory_lock_shared",
                                                      "pg_try_advisory_lock",
                                                      "pg_advisory_unlock",
                                                      "pg_listening_channels",
                                                      "pg_advisory_unlock_all",
                                                      "dblink_connect",
                                                      "pg_try_advisory_lock_shared",
                                                      "pg_export_snapshot",
                                                      "lo_open",
                                                      "setseed"};

}  // namespace

std::vector<std::string> FormProblems(const Stanza& stanza, const MethodDescriptor& method,
                                      const sql::Analysis& analysis) {
  if (analysis.statements != 1) {
    return {absl::StrCat("holds ", analysis.statements,
                         " statements: write one, with common table expressions")};
  }
  if (analysis.kind == sql::Analysis::Kind::kOther) {
    return {"is none of select, insert, update, delete, merge: a shared connection runs no other"};
  }
  std::vector<std::string> problems;
  if (analysis.star) problems.emplace_back("selects `*`: name the columns");
  for (const std::string& function : analysis.functions) {
    if (kSessionFunctions.contains(function.substr(function.rfind('.') + 1))) {
      problems.push_back(
          absl::StrCat("calls ", function, "(), which changes the connection that others share"));
    }
  }
  const bool declared_read = method.options().idempotency_level() == MethodOptions::NO_SIDE_EFFECTS;
  if (declared_read && !analysis.read_only()) {
    problems.push_back(absl::StrCat("is declared NO_SIDE_EFFECTS and ",
                                    analysis.locks ? "locks rows" : "writes",
                                    ": take the option from the rpc, or the effect from the SQL"));
  }
  const bool streams = method.client_streaming() || method.server_streaming();
  if (method.options().HasExtension(twi::data::v1::cache) && (!declared_read || streams)) {
    problems.emplace_back(streams ? "has a cache policy and streams: only one answer is kept"
                                  : "has a cache policy and is not declared NO_SIDE_EFFECTS");
  }
  for (const std::string& table : stanza.scans) {
    if (std::ranges::find(analysis.reads, table) != analysis.reads.end()) continue;
    problems.push_back(
        absl::StrCat("has a `-- scan:` line of ", table, ", which it does not read"));
  }
  if (!stanza.page.empty() && !declared_read) {
    problems.emplace_back("lists pages and is not declared NO_SIDE_EFFECTS");
  }
  return problems;
}

}  // namespace twi::repositories

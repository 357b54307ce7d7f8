#include "tests/chaos/coherence_checker/methods.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/wire.h"
#include "tests/chaos/coherence_checker/registers.h"
#include "twi/data/v1/database.pb.h"
#include "twi/data/v1/polls.pb.h"
#include "twi/data/v1/roles.pb.h"
#include "twi/data/v1/server_settings.pb.h"
#include "twi/data/v1/users.pb.h"
#include "twi/test/v1/registers.pb.h"

namespace twi::checker {
namespace {

template <typename Response, auto kVersion>
std::optional<int64_t> VersionIn(grpc::ByteBuffer* bytes) {
  Response response;
  if (!server::Parse(bytes, &response).ok()) return std::nullopt;
  return kVersion(response);
}

template <typename Request, auto kFill>
grpc::ByteBuffer RequestOf(int64_t key) {
  Request request;
  kFill(request, key);
  return server::Buffer(request.SerializeAsString());
}

/// `kFill` puts a key into a request, `kVersion` takes the version from a response.
template <typename Request, typename Response, auto kFill, auto kVersion>
Method Of(const std::string& operation) {
  return {absl::StrCat("/twi.data.v1.", operation), RequestOf<Request, kFill>,
          VersionIn<Response, kVersion>};
}

std::optional<int64_t> Number(const std::string& text) {
  int64_t number = 0;
  return absl::SimpleAtoi(text, &number) ? std::optional(number) : std::nullopt;
}

// None when the trigger found no register to write: another had taken it away to make it anew.
std::optional<int64_t> Permissions(const data::v1::Role& role) {
  return role.has_permissions() ? std::optional(role.permissions()) : std::nullopt;
}

constexpr char kByKey[] = "select v from reg where k = $1";
constexpr char kByJoin[] =
    "select l.v from reg_log l join reg_child c on c.k = l.k and c.id = 1 where l.k = $1";
constexpr char kLock[] = "select v from reg where k = $1 for update";
constexpr char kWrite[] = "update reg set v = v + 1 where k = $1 returning v";

void Ask(const char* sql, int64_t key, data::v1::Query* query) {
  query->set_sql(sql);
  query->add_parameters()->set_integer(key);
}

std::optional<int64_t> First(const data::v1::Outcome& outcome) {
  return outcome.table().rows_size() == 1
             ? std::optional(outcome.table().rows(0).values(0).integer())
             : std::nullopt;
}

}  // namespace

Method OfRegisters(const std::string& name) {
  constexpr auto kFill = [](test::v1::RegisterRequest& request, int64_t key) {
    request.set_k(key);
  };
  constexpr auto kVersion = [](const test::v1::Register& answer) {
    return std::optional(answer.v());
  };
  return {absl::StrCat("/twi.test.v1.RegistersService/", name),
          RequestOf<test::v1::RegisterRequest, kFill>, VersionIn<test::v1::Register, kVersion>};
}

const std::vector<Method>& OfTheBot() {
  using namespace data::v1;  // NOLINT(google-build-using-namespace): of a list of its messages
  static const std::vector<Method> kMethods = {
      Of<GetUserRequest, GetUserResponse,
         [](GetUserRequest& request, int64_t key) { request.set_user_id(IdOf(key)); },
         [](const GetUserResponse& answer) { return Number(answer.user().username()); }>(
          "UsersService/GetUser"),
      Of<GetRoleRequest, GetRoleResponse,
         [](GetRoleRequest& request, int64_t key) {
           request.set_id(IdOf(key));
           request.set_guild_id(kGuild);
         },
         [](const GetRoleResponse& answer) { return Permissions(answer.role()); }>(
          "RolesService/GetRole"),
      Of<ListPollOptionsRequest, ListPollOptionsResponse,
         [](ListPollOptionsRequest& request, int64_t key) { request.set_poll_id(IdOf(key)); },
         [](const ListPollOptionsResponse& answer) {
           return answer.options_size() == 1 ? std::optional<int64_t>(answer.options(0).num_votes())
                                             : std::nullopt;
         }>("PollsService/ListPollOptions"),
      Of<GetAdminRoleIdRequest, GetAdminRoleIdResponse,
         [](GetAdminRoleIdRequest& request, int64_t key) { request.set_guild_id(IdOf(key)); },
         [](const GetAdminRoleIdResponse& answer) {
           return std::optional<int64_t>(answer.admin_role_id());
         }>("ServerSettingsService/GetAdminRoleId")};
  return kMethods;
}

const std::vector<Method>& Raw() {
  using namespace data::v1;  // NOLINT(google-build-using-namespace): of a list of its messages
  static const std::vector<Method> kMethods = {
      Of<FetchValRequest, FetchValResponse,
         [](FetchValRequest& request, int64_t key) { Ask(kByKey, key, request.mutable_query()); },
         [](const FetchValResponse& answer) {
           return answer.has_value() ? std::optional<int64_t>(answer.value().integer())
                                     : std::nullopt;
         }>("DatabaseService/FetchVal"),
      Of<FetchRowRequest, FetchRowResponse,
         [](FetchRowRequest& request, int64_t key) { Ask(kByJoin, key, request.mutable_query()); },
         [](const FetchRowResponse& answer) {
           return answer.has_row() ? std::optional<int64_t>(answer.row().values(0).integer())
                                   : std::nullopt;
         }>("DatabaseService/FetchRow")};
  return kMethods;
}

const std::vector<Method>& Writing() {
  using namespace data::v1;  // NOLINT(google-build-using-namespace): of a list of its messages
  static const std::vector<Method> kMethods = {
      OfRegisters("Bump"),
      // A trigger writes the register, and the version into the role.
      Of<UpdateRoleWeightRequest, UpdateRoleWeightResponse,
         [](UpdateRoleWeightRequest& request, int64_t key) {
           request.set_id(kWritingRoles + key);
           request.set_guild_id(kGuild);
         },
         [](const UpdateRoleWeightResponse& answer) { return Permissions(answer.role()); }>(
          "RolesService/UpdateRoleWeight"),
      Of<ExecuteRequest, ExecuteResponse,
         [](ExecuteRequest& request, int64_t key) { Ask(kWrite, key, request.mutable_query()); },
         [](const ExecuteResponse& answer) { return First(answer.outcome()); }>(
          "DatabaseService/Execute"),
      Of<ExecuteInTransactionRequest, ExecuteInTransactionResponse,
         [](ExecuteInTransactionRequest& request, int64_t key) {
           Ask(kLock, key, request.add_queries());
           Ask(kWrite, key, request.add_queries());
         },
         [](const ExecuteInTransactionResponse& answer) {
           return answer.outcomes_size() == 2 ? First(answer.outcomes(1)) : std::nullopt;
         }>("DatabaseService/ExecuteInTransaction")};
  return kMethods;
}

}  // namespace twi::checker

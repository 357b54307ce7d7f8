#include "tests/chaos/coherence_checker/methods.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/wire.h"
#include "tests/chaos/coherence_checker/registers.h"
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
          "RolesService/UpdateRoleWeight")};
  return kMethods;
}

}  // namespace twi::checker

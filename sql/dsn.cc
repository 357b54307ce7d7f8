#include "sql/dsn.h"

#include <libpq-fe.h>

#include <memory>
#include <string_view>

namespace twi::sql {

absl::StatusOr<bool> HasPassword(const std::string& dsn) {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(dsn.c_str(), nullptr), PQconninfoFree);
  // libpq would repeat what it does not understand, which may be a part of a password.
  if (options == nullptr) {
    return absl::InvalidArgumentError("it is neither a connection string nor a URI of libpq");
  }
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    const std::string_view keyword = option->keyword;
    if ((keyword == "password" || keyword == "sslpassword") && option->val != nullptr) return true;
  }
  return false;
}

}  // namespace twi::sql

#include "server/services/prepared_names.h"

#include "absl/strings/str_cat.h"
#include "sql/errors.h"

namespace twi::server {
namespace {

constexpr size_t kMostNames = 1000;

absl::Status Unknown(const std::string& name) {
  return sql::Error(absl::StatusCode::kNotFound, "PREPARED_UNKNOWN",
                    absl::StrCat("nothing is prepared as '", name, "'"));
}

}  // namespace

absl::Status PreparedNames::Add(const std::string& principal, const std::string& name,
                                sql::RawTexts::Text text) {
  std::lock_guard lock(mutex_);
  Names& names = names_[principal];
  const auto found = names.find(name);
  if (found != names.end()) {
    if (found->second->statement.text == text->statement.text) return absl::OkStatus();
    return sql::Error(absl::StatusCode::kAlreadyExists, "PREPARED_EXISTS",
                      absl::StrCat("another text is prepared as '", name, "'"));
  }
  if (names.size() >= kMostNames) {
    return sql::Error(absl::StatusCode::kResourceExhausted, "OVERLOADED",
                      absl::StrCat("there are ", kMostNames, " prepared names already"));
  }
  names[name] = std::move(text);
  return absl::OkStatus();
}

absl::StatusOr<sql::RawTexts::Text> PreparedNames::Find(const std::string& principal,
                                                        const std::string& name) const {
  std::lock_guard lock(mutex_);
  const auto names = names_.find(principal);
  if (names == names_.end()) return Unknown(name);
  const auto found = names->second.find(name);
  return found == names->second.end() ? Unknown(name)
                                      : absl::StatusOr<sql::RawTexts::Text>(found->second);
}

absl::Status PreparedNames::Remove(const std::string& principal, const std::string& name) {
  std::lock_guard lock(mutex_);
  const auto names = names_.find(principal);
  const bool removed = names != names_.end() && names->second.erase(name) > 0;
  return removed ? absl::OkStatus() : Unknown(name);
}

}  // namespace twi::server

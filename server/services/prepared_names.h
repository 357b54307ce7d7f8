#pragma once

#include <mutex>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "sql/raw_text.h"

namespace twi::server {

/// The names that principals have given to texts. Thread-safe.
class PreparedNames {
 public:
  /// ALREADY_EXISTS (PREPARED_EXISTS) when it stands for another text, RESOURCE_EXHAUSTED when the
  /// principal has too many.
  absl::Status Add(const std::string& principal, const std::string& name, sql::RawTexts::Text text);
  /// NOT_FOUND (PREPARED_UNKNOWN)
  absl::StatusOr<sql::RawTexts::Text> Find(const std::string& principal,
                                           const std::string& name) const;
  absl::Status Remove(const std::string& principal, const std::string& name);

 private:
  using Names = absl::flat_hash_map<std::string, sql::RawTexts::Text>;

  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, Names> names_;  ///< By principal; guarded by mutex_.
};

}  // namespace twi::server

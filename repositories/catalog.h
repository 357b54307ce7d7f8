#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/descriptor.h"
#include "repositories/operation.h"
#include "repositories/repository.h"
#include "sql/embedded_text.h"

namespace twi::repositories {

/// Every operation: each RPC of the given services paired with the stanza of its name and checked
/// against the schema of a real database.
class Catalog {
 public:
  /// What Load makes: without problems a catalog, and always all that is wrong or doubtful at once.
  struct Loaded {
    std::unique_ptr<Catalog> catalog;  ///< Null when there are problems.
    std::vector<Problem> problems;
    std::vector<Problem> warnings;
  };

  /// Reads the files, pairs `quotes.sql` with the service of `quotes.proto`, and prepares every
  /// statement on the database of `dsn`. UNAVAILABLE when that cannot be reached.
  static absl::StatusOr<Loaded> Load(
      const std::string& dsn, const std::vector<EmbeddedText>& files,
      const std::vector<const google::protobuf::ServiceDescriptor*>& services);

  const std::vector<std::unique_ptr<Operation>>& operations() const { return operations_; }

 private:
  class Loader;

  std::vector<std::unique_ptr<Operation>> operations_;
};

}  // namespace twi::repositories

#pragma once

#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "sql/execution.h"

namespace twi::sql {

/// How much one batch takes.
struct BatchLimits {
  // 8, 32 and 128 gave the whole service 29,000, 37,000 and 29,000 point reads a second.
  size_t statements = 32;
  // 32, 128 and 512 gave 64 callers 95,000, 92,000 and 89,000 writes a second, and 512 callers
  // 103,000, 136,000 and 148,000 (tests/bench/lanes).
  /// Callers, of whom those of a set share a statement.
  size_t callers = 128;
};

/// One statement of a batch: for one caller or, when it is a set, for several. It points to its
/// callers' executions and owns none.
class Unit {
 public:
  using Members = absl::InlinedVector<Execution*, 1>;

  explicit Unit(Execution* execution);

  const Statement* statement() const { return members_.front()->statement; }
  const Members& members() const { return members_; }

  /// Takes one more caller. False, with nothing changed, when it must be sent apart: it runs
  /// another statement or one that is no set, or has the key of a member.
  bool Join(Execution* execution);

  /// What is sent: the member's own parameters, or one array of all the members' requests.
  const Parameters& Bind();

  /// Gives each member its rows.
  void Spread(Rows rows);

 private:
  Members members_;
  absl::flat_hash_set<std::string_view> keys_;  ///< The members', when they may be joined.
  Parameters joined_;
};

}  // namespace twi::sql

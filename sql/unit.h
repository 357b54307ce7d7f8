#pragma once

#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "sql/execution.h"

namespace twi::sql {

/// How much one batch takes.
struct BatchLimits {
  // Of statements apart 8, 32 and 128 gave the whole service 29,000, 37,000 and 29,000 point reads
  // a second.
  size_t statements = 32;
  // 32, 128 and 512 gave 64 callers 95,000, 92,000 and 89,000 writes a second, and 512 callers
  // 103,000, 136,000 and 148,000 (tests/bench/lanes).
  /// Callers, of whom those of a set, or of one read, share a statement.
  size_t callers = 128;
};

/// One statement of a batch: for one caller or, when it is a set or a read that has a form for
/// several, for several. It points to its callers' executions and owns none.
class Unit {
 public:
  using Members = absl::InlinedVector<Execution*, 1>;

  explicit Unit(Execution* execution);

  /// What each member runs.
  const Statement* statement() const { return members_.front()->statement; }
  /// What is sent for them all.
  const Statement& sent() const;
  const Members& members() const { return members_; }

  /// Whether an execution may share a statement at all.
  static bool MayShare(const Execution& execution) {
    return execution.key || execution.statement->several != nullptr;
  }
  /// Takes one more caller. False, with nothing changed, when it must be sent apart: it runs
  /// another statement or one that is for one caller, or has the key of a member.
  bool Join(Execution* execution);

  /// The parameters of what is sent: the member's own, one array of all the members' requests, or
  /// an array of their values for each placeholder.
  const Parameters& Bind();

  /// Gives each member its rows.
  void Spread(Rows rows);

 private:
  void BindRequests();
  void BindValues();

  Members members_;
  absl::flat_hash_set<std::string_view> keys_;  ///< The members', when they may be joined.
  Parameters joined_;
};

}  // namespace twi::sql

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace twi::sql {

/// What a text is and touches, by PostgreSQL's own parser. The schema is not looked at: a view
/// counts as itself, and what functions, triggers and rules do is not seen.
struct Analysis {
  enum class Kind { kSelect, kInsert, kUpdate, kDelete, kMerge, kOther };

  /// Of the last outermost statement. VALUES and TABLE are selects; transaction control, CALL, DO,
  /// EXPLAIN, COPY and all utility statements are kOther, and so is a text without a statement.
  Kind kind = Kind::kOther;
  int statements = 0;
  /// Relations whose content the outcome depends on, by name as written (`quotes`,
  /// `public.messages`), CTE names left out, sorted, once each. The target of UPDATE, DELETE, MERGE
  /// and INSERT … ON CONFLICT is among them, that of a plain INSERT is not.
  std::vector<std::string> reads;
  /// Relations that INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY … FROM, SELECT INTO or CREATE
  /// TABLE AS change, also within a WITH; written like `reads`. Of other utility statements it may
  /// miss some.
  std::vector<std::string> writes;
  /// `for update|no key update|share|key share` anywhere.
  bool locks = false;
  /// Some target or RETURNING list has `*` or `t.*` (but not count(*)).
  bool star = false;
  /// The last outermost statement is a select without INTO, or has RETURNING.
  bool returns_rows = false;
  /// Some outermost statement is transaction control: BEGIN, COMMIT, SAVEPOINT and their like.
  bool controls_transaction = false;
  /// The last outermost statement is EXPLAIN or SHOW.
  bool shows = false;
  /// Some outermost statement is a COPY from or to the client.
  bool copies = false;
  /// Functions called, by name as written and lower case, sorted, once each. What SQL calls by
  /// syntax is there under its name too: `current_timestamp`, `current_user`, `pg_catalog.extract`,
  /// `pg_catalog.timezone` (AT TIME ZONE), the method of a TABLESAMPLE, and `now` for the date or
  /// time that 'now' or 'today' is cast to.
  std::vector<std::string> functions;
  /// Equal for texts that differ in constants, placeholders' numbers and layout only: 16 hex
  /// digits.
  std::string fingerprint;

  /// One statement that, its functions apart, neither changes nor locks anything.
  bool read_only() const {
    return statements == 1 && kind == Kind::kSelect && writes.empty() && !locks;
  }
};

/// Analyses a text of one statement or several. INVALID_ARGUMENT with the parser's words and
/// position when it is not SQL or longer than kMaxParsed (sql/parser.h).
absl::StatusOr<Analysis> Analyse(std::string_view text);

}  // namespace twi::sql

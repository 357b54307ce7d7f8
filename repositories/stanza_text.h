#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "repositories/repository.h"
#include "sql/statement.h"

namespace twi::repositories {

/// Those parts that `names` of a statement of `own` name, and, in `used`, whose they are. A part of
/// its own file is `part.x`, one of `quotes.sql` `part.quotes.x`.
std::vector<sql::Insertion> PartsOf(const std::vector<std::string>& names, const Repository& own,
                                    const std::vector<Repository>& all,
                                    std::set<const Stanza*>* used);

/// What a first page has for `:page.after` and for the last row's keys, `:page.after_0`: `true`,
/// and `null`, as there is no last row.
std::vector<sql::Insertion> FirstPage(const Stanza& stanza);

/// What the next ones have for `:page.after`: `(q.time, q.serial_id) > (:page.after_0,
/// :page.after_1)`.
std::vector<sql::Insertion> NextPage(const Stanza& stanza);

/// A read for several callers at once, see Statement::several: `text` with its `names` still in it,
/// asked for each element of the arrays, of these types, that its placeholders are now.
absl::StatusOr<std::string> ForSeveral(const std::string& text,
                                       const std::vector<std::string>& names,
                                       const std::vector<sql::Oid>& arrays);

/// The statement as connections prepare it: with the operation's name before it, by which it is
/// known in `pg_stat_activity` and the database's own log.
std::string WithName(const std::string& operation, const std::string& text);

/// ` (line 12)`: where the database finds fault with the stanza's statement `text`, at a character
/// counted from 1; "" for 0. The words of the line instead, when it may be a part's.
std::string PlaceOf(const std::string& text, int character, const Stanza& stanza, bool has_parts);

}  // namespace twi::repositories

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "sql/rows.h"

namespace twi::sql {

/// A statement that connections prepare under its name, once each. It never changes and outlives
/// them: they know it by its address. One without a name is for one run.
struct Statement {
  std::string name;  ///< At most 63 bytes: `QuotesService/GetQuote`.
  std::string text;  ///< With placeholders $1, $2, ….
  bool read_only = true;
  /// It answers several callers at once: its one parameter is a jsonb array with an element for
  /// each, and its column kCallColumn tells for which of them, from 1, a row is.
  bool set = false;
  /// The planner thinks that it may take long: until a run alone has shown its time, it travels
  /// alone.
  bool costly = false;
  /// A caller's own text: values travel as text both ways, in which every type has a form, and the
  /// caller is told what the database says of it.
  bool raw = false;
  /// Types of the placeholders; 0, or none: the database infers them.
  std::vector<Oid> types = {};
  /// Of a read: the same for callers that are there together. Each placeholder is an array with an
  /// element for each of them, and a column kCallColumn behind the others tells whose a row is.
  /// `types` are those of the elements then.
  std::shared_ptr<const Statement> several = nullptr;
  /// Of a caller's own text: equal for those that differ in constants and layout only.
  std::string fingerprint = {};
};

/// `with ordinality` gives it.
inline constexpr char kCallColumn[] = "_call";

/// A statement as written, its `:name` placeholders turned into $1, $2, ….
struct BoundText {
  std::string text;
  /// The name behind $1, $2, …: `serial_id`, `message.content`, `page.size`. Each is there once.
  std::vector<std::string> names;
};

/// A text that a placeholder stands for, `page.after` -> `true`. One with parameters is written
/// `:name(x, y)`, and has these arguments, whatever SQL they are, where it says `:parameter`.
struct Insertion {
  std::string name;
  std::string text;
  std::vector<std::string> parameters = {};
};

/// Turns `:name` and `:name.of.field` into $1, $2, …; a name stands for one placeholder wherever it
/// is repeated. PostgreSQL's own scanner finds them, so that casts (`::`), `:=`, literals, quoted
/// names, comments and dollar quotes are left alone.
///
/// A `:` begins a placeholder when a word (plain, not quoted; keywords too) follows it at once and
/// no operand stands right before it: no word, number, literal, `)` or `]`. So the `:` of a slice
/// written close (`a[lo:hi]`, `a[1:n]`) or apart (`a[lo : hi]`) stays, and `a[:lo : :hi]` has two
/// placeholders; `a[:n]` is the element at placeholder n (the slice up to column n is `a[: n]`).
///
/// What `fixed` names is replaced before, as Insert does.
///
/// INVALID_ARGUMENT with the scanner's words when the text cannot be scanned, and when it has names
/// beside placeholders that were numbers already.
absl::StatusOr<BoundText> BindNames(std::string_view text,
                                    const std::vector<Insertion>& fixed = {});

/// The text with each placeholder that an insertion names replaced by its text; the names in that
/// stay, but those in arguments are replaced likewise. INVALID_ARGUMENT when a text cannot be
/// scanned, or an insertion has not as many arguments as parameters.
absl::StatusOr<std::string> Insert(std::string_view text, const std::vector<Insertion>& insertions);

/// A result column as the database describes it.
struct Column {
  std::string name;
  Oid type = 0;
  /// The column of a table that this is, or 0 when it is an expression.
  Oid table = 0;
  int attribute = 0;
  /// The column's table declares it NOT NULL. Outer joins may still make it NULL.
  bool not_null = false;
};

/// What the database makes of a statement.
struct Description {
  std::vector<Oid> parameters;
  std::vector<Column> columns;
  bool costly = false;  ///< See Statement.
};

}  // namespace twi::sql

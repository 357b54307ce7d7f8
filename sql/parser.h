#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace twi::sql {

// PostgreSQL's own scanner and parser (libpg_query). Every function may be called by any thread,
// and refuses what is not SQL with INVALID_ARGUMENT, the parser's words and the position in
// characters, from 1.

/// Longest text, in bytes, that is parsed. The parser recurses as deep as a text nests, at worst a
/// level for two bytes (`1+1+1…`), and twice this length of that takes all 8 MiB of a thread's
/// stack.
inline constexpr size_t kMaxParsed = 64 * 1024;

/// A word, literal, operator or comment.
struct Token {
  /// What `kind` is: a single character such as `:` is itself.
  enum Kind { kIdentifier = 258, kParameter = 267, kLineComment = 275, kBlockComment = 276 };

  size_t begin = 0;  ///< Bytes from the text's beginning.
  size_t end = 0;    ///< Behind its last byte. Not right for U&'…' and U&"…".
  int kind = 0;
  bool keyword = false;

  bool comment() const { return kind == kLineComment || kind == kBlockComment; }
};

absl::StatusOr<std::vector<Token>> Scan(std::string_view text);

/// The statements of a text of any length, without the `;` between them, as views into it. Of what
/// is too long for the parser, or no SQL to it, `begin atomic … end` is split within, too.
absl::StatusOr<std::vector<std::string_view>> Split(std::string_view text);

/// The parse tree as JSON: `{"stmts": [{"stmt": {"SelectStmt": {…}}}, …]}`.
absl::StatusOr<std::string> ParseTree(std::string_view text);

/// 16 hex digits, equal for texts that differ in constants, placeholders' numbers and layout only.
absl::StatusOr<std::string> Fingerprint(std::string_view text);

}  // namespace twi::sql

#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace twi::repositories {

/// One operation as written in a repository's file.
struct Stanza {
  std::string name;                     ///< The RPC's: `GetQuote`.
  std::vector<std::string> parameters;  ///< Of a part `rows(source, key)`.
  int line = 0;                         ///< Of `-- name:`, from 1.
  std::string text;  ///< The statement, from its first line to its semicolon, which is left out.
  int text_line = 0;

  /// `-- page: created_at desc, message_id desc`: the key columns, and the direction of them all.
  std::vector<std::string> page;
  bool descending = false;
  /// `-- batch: message_id`: fields in which two calls of one statement must differ.
  std::vector<std::string> batch;
  /// `-- stream: one transaction`: what streams in is done as a whole or not at all.
  bool one_transaction = false;
  /// `-- none: OK`; "" when the response's shape decides.
  std::string none;
  /// `-- scan: threads: they are few`: the growing tables that are read whole.
  std::set<std::string> scans;
};

/// What is wrong with the catalog: where, and what to change.
struct Problem {
  std::string file;
  int line = 0;
  std::string message;
};

/// The operations of one service, read from `<stem>.sql`.
///
/// A file is stanzas. `-- name: X` begins one; the comment lines that follow it may hold `page:`,
/// `none:`, `batch:`, `stream:` and `scan:`, and others are prose; then comes one statement.
/// `-- part: x` begins a piece of SQL instead, which statements have where they say `:part.x`, and
/// those of other files where they say `:part.quotes.x`; one that begins with `-- part: x(a, b)`
/// they give SQL for its `:a` and `:b`, `:part.x(users, u.user_id)`.
struct Repository {
  std::string file;  ///< `quotes.sql`
  std::string stem;  ///< `quotes`
  std::vector<Stanza> stanzas;
  std::vector<Stanza> parts;  ///< Their text ends with a line feed.

  static Repository Parse(std::string_view file, std::string_view text,
                          std::vector<Problem>* problems);
};

}  // namespace twi::repositories

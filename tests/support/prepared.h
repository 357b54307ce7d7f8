#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sql/parameters.h"
#include "sql/rows.h"
#include "sql/statement.h"

struct pg_conn;

namespace twi::testing {

/// A statement prepared on a connection of its own, in Postgres's binary format both ways. What
/// fails ends the test's process with what the database says.
class Prepared {
 public:
  /// `text` has placeholders $1, $2, …
  Prepared(const std::string& dsn, const std::string& text);

  /// What the database makes of it; `not_null` is not looked up.
  const sql::Description& description() const { return description_; }
  sql::Rows Run(const sql::Parameters& parameters = {}) const;

 private:
  struct Finish {
    void operator()(pg_conn* connection) const;
  };
  std::unique_ptr<pg_conn, Finish> connection_;
  std::string text_;
  sql::Description description_;
};

}  // namespace twi::testing

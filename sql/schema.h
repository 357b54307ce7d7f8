#pragma once

#include <string>
#include <vector>

namespace twi::sql {

/// One thing in a schema, in the words of the database's catalog.
struct SchemaObject {
  std::string name;        ///< `column quotes.author`: what it is and how it is called.
  std::string parent;      ///< `table quotes`, for what comes and goes with a table; else "".
  std::string definition;  ///< `text not null`: equal for equal objects of different schemas.
};

/// Selects the SchemaObjects of schema $1 (name, parent, definition): tables, columns, constraints,
/// indexes, sequences, views, functions and triggers, without what belongs to an extension and
/// without the migrations' own table. REQUIRES: $1 is first in the search path.
extern const char kSchemaQuery[];

/// How `live` differs from `expected`, one sentence each. Of a table that is missing or one too
/// many nothing below it is mentioned.
std::vector<std::string> Differences(const std::vector<SchemaObject>& expected,
                                     const std::vector<SchemaObject>& live);

}  // namespace twi::sql

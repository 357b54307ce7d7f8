#pragma once

#include <optional>
#include <string>
#include <vector>

namespace twi::sql {

/// One thing in a schema, in the words of the database's catalog. Names are quoted where SQL needs
/// it.
struct SchemaObject {
  std::string kind;        ///< `table`, `column`, `materialized view`, …
  std::string name;        ///< Its own: `author`; a function's with its arguments.
  std::string relation;    ///< The table, or materialized view, that it comes and goes with; or "".
  std::string definition;  ///< `text not null`: equal for equal objects of different schemas.

  // Of a column.
  std::string type;                          ///< With its collation.
  bool required = false;                     ///< NOT NULL.
  std::optional<std::string> default_value;  ///< Its expression.
  bool derived = false;                      ///< Generated, or an identity.

  std::string owner;  ///< Of a sequence: the column that owns it, `quotes.serial_id`.
  std::vector<std::string> columns;  ///< Of an index or constraint: those it depends on.

  /// `column quotes.author`: what it is and how it is called.
  std::string Title() const;
};

/// Selects the SchemaObjects of schema $1, a column a member: tables, columns, constraints,
/// indexes, sequences, views, functions and triggers, without what belongs to an extension and
/// without the service's own tables, twi_data_*. REQUIRES: $1 is first in the search path.
extern const char kSchemaQuery[];

/// How a schema differs from the one it should be.
struct SchemaDifferences {
  std::vector<std::string> sentences;  ///< One sentence each.
  /// Tables, views, functions and sequences that stand alone and that no migration makes:
  /// somebody else's, and no fault of the schema.
  std::vector<std::string> foreign;
};

/// How `live` differs from `expected`. Of a table that is missing or somebody else's nothing below
/// it is mentioned.
SchemaDifferences Differences(const std::vector<SchemaObject>& expected,
                              const std::vector<SchemaObject>& live);

}  // namespace twi::sql

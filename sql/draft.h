#pragma once

#include <string>
#include <vector>

#include "sql/schema.h"

namespace twi::sql {

/// One statement of those that make a schema what it should be.
struct SchemaChange {
  /// In this order they can be run; those of one step in any.
  enum class Step {
    kDropView,  ///< Triggers and functions, too.
    kDropForeignKey,
    kDropConstraint,
    kDropIndex,
    kMakeSequence,
    kMakeTable,      ///< With its columns only.
    kChangeColumns,  ///< Types, defaults, new columns; of a table at once, so it is read once.
    kRequire,        ///< NOT NULL, of a table at once.
    kMakeConstraint,
    kMakeForeignKey,  ///< `not valid`: rows that are there are not looked at.
    kValidate,        ///< They are now, beside readers and writers.
    kMakeIndex,
    kOwnSequence,
    kDropRelation,
    kMakeView,  ///< Functions and triggers, too.
  };

  Step step;
  std::string object;    ///< SchemaObject::Title.
  std::string name;      ///< SchemaObject::name.
  std::string relation;  ///< SchemaObject::relation; of a table its name.
  std::string sql;
  /// Takes away something that should not be there at all.
  bool removes = false;
  /// Every row is written anew, with its index entries, and readers wait for it.
  bool rewrites = false;
};

/// What makes `live` equal to `expected`. Nothing of tables, views, functions and sequences that
/// stand alone and are somebody else's.
std::vector<SchemaChange> Changes(const std::vector<SchemaObject>& expected,
                                  const std::vector<SchemaObject>& live);

/// The changes as a script for somebody to read, complete and run. What would lose data is there as
/// a comment.
std::string Draft(const std::vector<SchemaChange>& changes);

}  // namespace twi::sql

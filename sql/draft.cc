#include "sql/draft.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "sql/text.h"

namespace twi::sql {
namespace {

using Step = SchemaChange::Step;
using ByTitle = std::map<std::string, const SchemaObject*>;

ByTitle Index(const std::vector<SchemaObject>& objects) {
  ByTitle map;
  for (const SchemaObject& object : objects) map.emplace(object.Title(), &object);
  return map;
}

const SchemaObject* Find(const ByTitle& objects, const std::string& title) {
  const auto it = objects.find(title);
  return it == objects.end() ? nullptr : it->second;
}

bool IsForeignKey(const SchemaObject& constraint) {
  return absl::StartsWith(constraint.definition, "FOREIGN KEY");
}

/// PostgreSQL turns one into the other without touching a row.
bool IsSameInStorage(const std::string& from, const std::string& to) {
  return to == "text" && absl::StartsWith(from, "character varying");
}

/// Gathers the changes, kind by kind.
class Comparison {
 public:
  Comparison(const std::vector<SchemaObject>& expected, const std::vector<SchemaObject>& live)
      : expected_(expected), live_(live), wanted_(Index(expected)), found_(Index(live)) {}

  std::vector<SchemaChange> Run() {
    Columns();
    for (const SchemaObject& object : live_) {
      const SchemaObject* const wanted = Find(wanted_, object.Title());
      if (wanted == nullptr) {
        // Of somebody else's table nothing is ours to take away.
        if (Find(wanted_, "table " + object.relation) != nullptr) Drop(object, true);
      } else if (MustBeMadeAgain(object, *wanted)) {
        Drop(object, false);
        Make(*wanted);
      } else {
        Adjust(object, *wanted);
      }
    }
    for (const SchemaObject& object : expected_) {
      if (Find(found_, object.Title()) == nullptr) Make(object);
    }
    std::stable_sort(changes_.begin(), changes_.end(),
                     [](const SchemaChange& a, const SchemaChange& b) { return a.step < b.step; });
    return std::move(changes_);
  }

 private:
  void Add(Step step, const SchemaObject& object, std::string sql, bool removes = false) {
    changes_.push_back({.step = step,
                        .object = object.Title(),
                        .name = object.name,
                        .relation = object.kind == "table" ? object.name : object.relation,
                        .sql = std::move(sql),
                        .removes = removes});
  }

  /// One ALTER TABLE for all that differs of a table's columns, and one for NOT NULL, which rows
  /// may have to be mended for.
  void Columns() {
    struct Clauses {
      std::vector<std::string> change;
      std::vector<std::string> require;
      bool rewrites = false;
    };
    std::map<std::string, Clauses> tables;
    for (const SchemaObject& column : expected_) {
      if (column.kind != "column") continue;
      Clauses& clauses = tables[column.relation];
      const SchemaObject* const is = Find(found_, column.Title());
      const std::string add = absl::StrCat("add ", column.name, " ", column.definition);
      const std::string alter = absl::StrCat("alter ", column.name, " ");
      if (is == nullptr) {
        clauses.change.push_back(add);
        clauses.rewrites |= column.derived;
      } else if (is->derived || column.derived) {
        if (is->definition == column.definition) continue;
        clauses.change.push_back(absl::StrCat("drop ", column.name));
        clauses.change.push_back(add);
        clauses.rewrites = true;
        made_again_.insert(column.Title());
      } else {
        const bool retyped = is->type != column.type;
        if (is->default_value.has_value() &&
            (retyped || is->default_value != column.default_value)) {
          clauses.change.push_back(alter + "drop default");
        }
        if (retyped) {
          clauses.change.push_back(
              absl::StrCat(alter, "type ", column.type, " using ", column.name, "::", column.type));
          clauses.rewrites |= !IsSameInStorage(is->type, column.type);
        }
        if (column.default_value.has_value() &&
            (retyped || is->default_value != column.default_value)) {
          clauses.change.push_back(absl::StrCat(alter, "set default ", *column.default_value));
        }
        if (is->required && !column.required) clauses.change.push_back(alter + "drop not null");
        if (!is->required && column.required) clauses.require.push_back(alter + "set not null");
      }
    }
    for (const auto& [name, clauses] : tables) {
      const SchemaObject& table = *Find(wanted_, "table " + name);
      const std::string alter_table = absl::StrCat("alter table ", name, "\n  ");
      if (Find(found_, table.Title()) == nullptr) {
        // What is added to nothing is what the table begins with.
        std::vector<std::string> columns;
        for (std::string_view clause : clauses.change) {
          columns.emplace_back(absl::StripPrefix(ToAbsl(clause), "add "));
        }
        Add(Step::kMakeTable, table,
            absl::StrCat("create ", table.definition, table.definition.empty() ? "" : " ", "table ",
                         name, " (\n  ", absl::StrJoin(columns, ",\n  "), "\n)"));
        continue;
      }
      const auto alter = [&](Step step, const std::vector<std::string>& parts) {
        if (parts.empty()) return;
        Add(step, table, alter_table + absl::StrJoin(parts, ",\n  "));
      };
      alter(Step::kChangeColumns, clauses.change);
      if (!clauses.change.empty()) changes_.back().rewrites = clauses.rewrites;
      alter(Step::kRequire, clauses.require);
    }
  }

  /// Whether `is` stands for something else, or loses a column it depends on.
  bool MustBeMadeAgain(const SchemaObject& is, const SchemaObject& wanted) const {
    if (is.kind == "table" || is.kind == "column" || is.kind == "sequence") return false;
    const bool loses = std::any_of(is.columns.begin(), is.columns.end(), [&](const auto& column) {
      return made_again_.contains(absl::StrCat("column ", is.relation, ".", column));
    });
    return loses || (is.definition != wanted.definition && !NeedsValidation(is, wanted));
  }

  static bool NeedsValidation(const SchemaObject& is, const SchemaObject& wanted) {
    return is.kind == "constraint" && is.definition == wanted.definition + " NOT VALID";
  }

  void Drop(const SchemaObject& object, bool removes) {
    const auto of_table = [&](const char* clause) {
      return absl::StrCat("alter table ", object.relation, " drop ", clause, object.name);
    };
    const std::string drop = absl::StrCat("drop ", object.kind, " ", object.name);
    if (object.kind == "column") {
      Add(Step::kDropRelation, object, of_table(""), removes);
    } else if (object.kind == "constraint") {
      Add(IsForeignKey(object) ? Step::kDropForeignKey : Step::kDropConstraint, object,
          of_table("constraint "), removes);
    } else if (object.kind == "index") {
      Add(Step::kDropIndex, object, drop, removes);
    } else if (object.kind == "trigger") {
      Add(Step::kDropView, object, absl::StrCat(drop, " on ", object.relation), removes);
    } else if (object.kind == "sequence") {
      Add(Step::kDropRelation, object, drop, removes);
    } else {
      Add(Step::kDropView, object, drop, removes);
    }
  }

  void Make(const SchemaObject& object) {
    const std::string add = absl::StrCat("alter table ", object.relation, " add constraint ",
                                         object.name, " ", object.definition);
    if (object.kind == "constraint" && IsForeignKey(object)) {
      Add(Step::kMakeForeignKey, object, add + " not valid");
      Add(Step::kValidate, object, Validate(object));
    } else if (object.kind == "constraint") {
      Add(Step::kMakeConstraint, object, add);
    } else if (object.kind == "index") {
      Add(Step::kMakeIndex, object, object.definition);
    } else if (object.kind == "sequence") {
      Add(Step::kMakeSequence, object,
          absl::StrCat("create sequence ", object.name, " ", object.definition));
      Own(object);
    } else if (object.kind == "function" || object.kind == "trigger") {
      Add(Step::kMakeView, object, object.definition);
    } else if (object.kind != "table" && object.kind != "column") {
      Add(Step::kMakeView, object,
          absl::StrCat("create ", object.kind, " ", object.name, " as\n",
                       absl::StripSuffix(object.definition, ";")));
    }
  }

  void Adjust(const SchemaObject& is, const SchemaObject& wanted) {
    if (NeedsValidation(is, wanted)) {
      Add(Step::kValidate, wanted, Validate(wanted));
    } else if (is.kind == "table" && is.definition != wanted.definition) {
      Add(Step::kChangeColumns, wanted,
          absl::StrCat("alter table ", wanted.name, " set ",
                       wanted.definition.empty() ? "logged" : wanted.definition));
      changes_.back().rewrites = true;
    } else if (is.kind == "sequence") {
      if (is.definition != wanted.definition) {
        Add(Step::kOwnSequence, wanted,
            absl::StrCat("alter sequence ", wanted.name, " ", wanted.definition));
      }
      if (is.owner != wanted.owner) Own(wanted);
    }
  }

  static std::string Validate(const SchemaObject& constraint) {
    return absl::StrCat("alter table ", constraint.relation, " validate constraint ",
                        constraint.name);
  }

  /// Ties a sequence to its column. A new one of a table with rows goes on behind them.
  void Own(const SchemaObject& sequence) {
    Add(Step::kOwnSequence, sequence,
        absl::StrCat("alter sequence ", sequence.name, " owned by ",
                     sequence.owner.empty() ? "none" : sequence.owner));
    if (sequence.owner.empty() || Find(found_, sequence.Title()) != nullptr ||
        Find(found_, "column " + sequence.owner) == nullptr) {
      return;
    }
    Add(Step::kOwnSequence, sequence,
        absl::StrCat("select setval('", sequence.name, "', (select coalesce(max(",
                     sequence.owner.substr(sequence.relation.size() + 1), "), 0) + 1 from ",
                     sequence.relation, "), false)"));
  }

  const std::vector<SchemaObject>& expected_;
  const std::vector<SchemaObject>& live_;
  const ByTitle wanted_;
  const ByTitle found_;
  std::set<std::string> made_again_;  ///< Titles of columns that are dropped and added.
  std::vector<SchemaChange> changes_;
};

}  // namespace

std::vector<SchemaChange> Changes(const std::vector<SchemaObject>& expected,
                                  const std::vector<SchemaObject>& live) {
  return Comparison(expected, live).Run();
}

std::string Draft(const std::vector<SchemaChange>& changes) {
  std::string script;
  for (const SchemaChange& change : changes) {
    const bool loses = change.removes && change.step == Step::kDropRelation;
    absl::StrAppend(&script, loses ? "-- It holds data: " : "", change.sql, ";\n");
  }
  return script;
}

}  // namespace twi::sql

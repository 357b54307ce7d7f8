#include "sql/side_inputs.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "sql/text.h"
#include "sql/tree.h"

namespace twi::sql {
namespace {

const std::set<std::string>& Moving() {
  static const std::set<std::string> kWords = {"now", "today", "tomorrow", "yesterday"};
  return kWords;
}

// Types that no text can become at one time otherwise than at another.
const std::set<std::string>& Timeless() {
  static const std::set<std::string> kTypes = {"bit",    "bool",     "bpchar", "bytea",  "char",
                                               "float4", "float8",   "int2",   "int4",   "int8",
                                               "inet",   "interval", "json",   "jsonb",  "numeric",
                                               "text",   "uuid",     "varbit", "varchar"};
  return kTypes;
}

// Types that `type(value)` casts to; none other of PostgreSQL's functions has such a name and one
// argument.
const std::set<std::string>& Times() {
  static const std::set<std::string> kTypes = {"date", "time", "timestamp", "timestamptz",
                                               "timetz"};
  return kTypes;
}

// Functions of times that give times.
const std::set<std::string>& OfTimes() {
  static const std::set<std::string> kFunctions = {
      "date_bin", "date_trunc",       "make_date", "make_time",   "make_timestamp",
      "timezone", "make_timestamptz", "to_date",   "to_timestamp"};
  return kFunctions;
}

// Functions that read values of types that are named elsewhere than in a cast.
bool ReadsTypes(std::string_view function) {
  return function.ends_with("_to_record") || function.ends_with("_to_recordset") ||
         function.ends_with("_populate_record") || function.ends_with("_populate_recordset");
}

/// The name without the schema of PostgreSQL's own.
std::string Plain(const Json& parts) {
  std::string name = FunctionName(parts);
  constexpr std::string_view kOwn = "pg_catalog.";
  return name.starts_with(kOwn) ? name.substr(kOwn.size()) : name;
}

class Search {
 public:
  /// Keeps a list of what is still to visit: a tree may be tens of thousands of levels deep.
  SideInputs Of(const Json& statements) {
    pending_ = {{"", &statements}};
    while (!pending_.empty()) {
      const auto [key, node] = pending_.back();
      pending_.pop_back();
      if (node->is_object()) Note(key, *node);
      if (!node->is_structured()) continue;
      for (const auto& [name, child] : node->items()) {
        pending_.emplace_back(node->is_array() ? key : std::string_view(name), &child);
      }
    }
    for (const std::string& column : found_.timed) {
      // It may be another than the one that a relation has under this name.
      if (hides_ || made_.contains(column)) Flaw(absl::StrCat("it makes a time of ", column));
    }
    return std::move(found_);
  }

 private:
  void Flaw(const std::string& why) {
    if (found_.flaw.empty()) found_.flaw = why;
  }

  void Note(std::string_view key, const Json& node) {
    if (key == "ColumnRef") {
      // What a row's system columns say changes when it is moved or locked, too.
      static const std::set<std::string> kSystem = {"cmax",     "cmin", "ctid",
                                                    "tableoid", "xmax", "xmin"};
      const std::string column = FromEnd(Member(node, "fields"), 0);
      if (kSystem.contains(column)) Flaw(absl::StrCat("it asks for ", column));
    } else if (key == "sval") {
      if (NamesMovingTime(Text(node, "sval"))) Flaw("it names a time that moves");
    } else if (key == "TypeCast") {
      Cast(node);
    } else if (key == "FuncCall" || key == "funccall") {
      Call(node);
    } else if (key == "A_Expr") {
      found_.operators.insert(FromEnd(Member(node, "name"), 0));
    } else if (key == "SubLink" && node.contains("operName")) {
      found_.operators.insert(FromEnd(Member(node, "operName"), 0));
    } else if (key == "SortBy" && node.contains("useOp")) {
      found_.operators.insert(FromEnd(Member(node, "useOp"), 0));
    } else if (key == "ResTarget") {
      made_.insert(Text(node, "name"));
    } else if (key == "alias" || key == "Alias" || key == "CommonTableExpr") {
      made_.insert(Text(node, "aliasname"));
      for (const char* names : {"colnames", "aliascolnames"}) {
        for (const Json& name : Member(node, names)) {
          made_.insert(Text(Member(name, "String"), "sval"));
        }
      }
    } else if (key == "RangeFunction" || key == "A_Indirection") {
      hides_ = true;
    } else if (key == "RangeTableFunc") {
      Flaw("XMLTABLE cannot be looked into");
    }
  }

  void Cast(const Json& cast) {
    const std::string type = Plain(Member(Member(cast, "typeName"), "names"));
    if (Timeless().contains(type)) return;
    const bool time = Times().contains(type);
    if (!IsTimed(Member(cast, "arg"), time)) Flaw(absl::StrCat("it casts to ", type));
  }

  void Call(const Json& call) {
    const std::string function = Plain(Member(call, "funcname"));
    made_.insert(function);
    if (ReadsTypes(function)) return Flaw(absl::StrCat(function, "() cannot be looked into"));
    const Json& arguments = Member(call, "args");
    if (Times().contains(function) && arguments.size() == 1 && !IsTimed(arguments.front(), true)) {
      Flaw(absl::StrCat("it casts to ", function));
    }
  }

  /// Whether an expression is no text, or one that is looked at by itself. `time`: it may be a
  /// column or what is made of times.
  bool IsTimed(const Json& expression, bool time) {
    const Json* node = &expression;
    while (node->contains("TypeCast")) {
      const Json& cast = Member(*node, "TypeCast");
      if (time && Times().contains(Plain(Member(Member(cast, "typeName"), "names")))) return true;
      node = &Member(cast, "arg");
    }
    if (node->contains("A_Const") || node->contains("ParamRef")) return true;
    if (!time) return false;
    if (node->contains("ColumnRef")) {
      const std::string column = FromEnd(Member(Member(*node, "ColumnRef"), "fields"), 0);
      if (!column.empty()) found_.timed.insert(column);
      return !column.empty();
    }
    // Nothing is added to a text.
    if (IsOperator(*node, {"+", "-"})) return true;
    const Json& call = Member(*node, "FuncCall");
    return !call.is_null() && OfTimes().contains(Plain(Member(call, "funcname")));
  }

  std::vector<std::pair<std::string_view, const Json*>> pending_;
  SideInputs found_;
  std::set<std::string> made_;  ///< Names that columns may have in the text only.
  bool hides_ = false;          ///< There are columns whose names are not in the text.
};

}  // namespace

absl::StatusOr<SideInputs> FindSideInputs(std::string_view text) {
  const auto statements = ParseStatements(text);
  if (!statements.ok()) return statements.status();
  return Search().Of(*statements);
}

bool NamesMovingTime(std::string_view value) {
  std::string word;
  for (size_t i = 0; i <= value.size(); ++i) {
    const char next = i < value.size() ? value[i] : ' ';
    if (absl::ascii_isalpha(static_cast<unsigned char>(next))) {
      word.push_back(absl::ascii_tolower(static_cast<unsigned char>(next)));
      continue;
    }
    if (Moving().contains(word)) return true;
    word.clear();
  }
  return false;
}

}  // namespace twi::sql

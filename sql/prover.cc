#include "sql/prover.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "sql/sources.h"

namespace twi::sql {
namespace {

/// Whether `matches` holds for a FuncCall's content in an expression; subqueries are not looked
/// into.
template <typename Matches>
bool AnyCall(const Json& node, const Matches& matches) {
  if (!node.is_structured()) return false;
  return std::ranges::any_of(node.items(), [&](const auto& item) {
    if (item.key() == "subselect") return false;
    return (item.key() == "FuncCall" && matches(item.value())) || AnyCall(item.value(), matches);
  });
}

/// `row_number() over (…)` of all rows.
bool NumbersRows(const Json& expression) {
  const Json& call = Member(expression, "FuncCall");
  const Json& over = Member(call, "over");
  return FromEnd(Member(call, "funcname"), 0) == "row_number" && !over.is_null() &&
         !over.contains("partitionClause") && !over.contains("refname") && !over.contains("name");
}

const Json& Value(const Json& target) { return Member(Member(target, "ResTarget"), "val"); }

/// The expression of GROUP BY or DISTINCT ON that stands for a result column, or itself.
const Json& Meant(const Json& expression, const Json& targets, const Sources& sources) {
  const Json& number = Member(Member(Member(expression, "A_Const"), "ival"), "ival");
  if (number.is_number_unsigned() && number.get<size_t>() - 1 < targets.size()) {
    return Value(targets[number.get<size_t>() - 1]);
  }
  const Json& column = Member(expression, "ColumnRef");
  if (Member(column, "fields").size() != 1 || sources.Has(column)) return expression;
  const std::string name = FromEnd(Member(column, "fields"), 0);
  const auto named = std::ranges::find_if(targets, [&](const Json& target) {
    return Text(Member(target, "ResTarget"), "name") == name;
  });
  return named == targets.end() ? expression : Value(*named);
}

bool AreFixed(const Json& expressions, const Json& targets, const Sources& sources) {
  return std::ranges::all_of(expressions, [&](const Json& expression) {
    return sources.IsFixed(Meant(expression, targets, sources));
  });
}

}  // namespace

std::vector<std::string> Strings(const Json& list) {
  std::vector<std::string> strings;
  for (const Json& element : list) strings.push_back(Text(Member(element, "String"), "sval"));
  return strings;
}

Json Bare(const Json& expression, std::string_view qualifier) {
  if (expression.is_array()) {
    Json bare = Json::array();
    for (const Json& element : expression) bare.push_back(Bare(element, qualifier));
    return bare;
  }
  if (!expression.is_object()) return expression;
  const Json& cast = Member(expression, "TypeCast");
  const Json& type = Member(cast, "typeName");
  if (!cast.is_null() && !type.contains("typmods") && !type.contains("arrayBounds") &&
      (Member(cast, "arg").contains("A_Const") || FromEnd(Member(type, "names"), 0) == "text")) {
    return Bare(Member(cast, "arg"), qualifier);
  }
  Json bare = Json::object();
  for (const auto& [key, child] : expression.items()) {
    if (key == "location" || key == "funcformat") continue;
    const bool shorter = key == "funcname" ||
                         (key == "fields" && child.size() == 2 && FromEnd(child, 1) == qualifier);
    bare[key] = shorter ? Json::array({child.back()}) : Bare(child, qualifier);
  }
  return bare;
}

const Dictionary::Function* Prover::FunctionOf(const Json& call) const {
  const auto found = dictionary_.functions.find(FromEnd(Member(call, "funcname"), 0));
  return found == dictionary_.functions.end() ? nullptr : &found->second;
}

const Json& Prover::Expression(const std::string& sql) {
  const auto [found, added] = expressions_.try_emplace(sql);
  if (!added) return found->second;
  const auto parsed = ParseStatements(absl::StrCat("select ", sql));
  if (parsed.ok() && parsed->size() == 1) {
    const Json& targets = Member(Member(parsed->front(), "SelectStmt"), "targetList");
    if (targets.size() == 1) found->second = Bare(Value(targets[0]), "");
  }
  return found->second;
}

std::vector<std::string> Prover::KeysOfCalls(const std::string& column) const {
  std::vector<std::string> keys;
  for (const std::string& path : apart_) {
    const std::vector<std::string> steps = absl::StrSplit(path, '.');
    std::string& key = keys.emplace_back(absl::StrCat("\"", column, "\""));
    for (const std::string& step : steps) {
      absl::StrAppend(&key, &step == &steps.back() ? " ->> '" : " -> '", step, "'");
    }
  }
  return keys;
}

const Scope* Prover::Find(const Scope* scope, const std::string& name) {
  while (scope != nullptr && scope->name != name) scope = scope->outer;
  return scope;
}

const Scope* Prover::Open(const Json& with, const Scope* scope) {
  std::vector<Scope*> opened;
  for (const Json& node : Member(with, "ctes")) {
    const Json& cte = Member(node, "CommonTableExpr");
    scope = opened.emplace_back(&scopes_.emplace_back(Scope{Text(cte, "ctename"),
                                                            {&Member(cte, "ctequery"), scope},
                                                            Strings(Member(cte, "aliascolnames")),
                                                            scope}));
  }
  if (IsTrue(with, "recursive")) {
    for (Scope* each : opened) each->query.scope = scope;
  }
  return scope;
}

std::vector<std::pair<std::string, const Json*>> Prover::Columns(const Json& statement) {
  std::vector<std::pair<std::string, const Json*>> columns;
  if (statement.empty()) return columns;
  const Json* content = &*statement.begin();
  while (content->contains("larg")) content = &Member(*content, "larg");
  const Json& values = Member(*content, "valuesLists");
  for (size_t i = 0; !values.empty() && i < Member(Member(values[0], "List"), "items").size();
       ++i) {
    columns.emplace_back(absl::StrCat("column", i + 1), nullptr);
  }
  const char* list = statement.contains("SelectStmt") ? "targetList" : "returningList";
  for (const Json& target : Member(*content, list)) {
    std::string name = Text(Member(target, "ResTarget"), "name");
    const Json* value = &Value(target);
    while (value->contains("TypeCast")) value = &Member(Member(*value, "TypeCast"), "arg");
    const Json& column = Member(*value, "ColumnRef");
    if (name.empty() && !column.is_null()) {
      name = Member(column, "fields").back().contains("A_Star")
                 ? "*"
                 : FromEnd(Member(column, "fields"), 0);
    }
    if (name.empty()) name = FromEnd(Member(Member(*value, "FuncCall"), "funcname"), 0);
    columns.emplace_back(std::move(name), &Value(target));
  }
  return columns;
}

bool Prover::Several(std::string what) {
  several_ = std::move(what);
  return several_.empty();
}

bool Prover::Aggregates(const Json& expression) const {
  return AnyCall(expression, [this](const Json& call) {
    const Dictionary::Function* known = FunctionOf(call);
    return known != nullptr && known->aggregate && !call.contains("over");
  });
}

bool Prover::ReturnsSet(const Json& expression) const {
  return AnyCall(expression, [this](const Json& call) {
    const Dictionary::Function* known = FunctionOf(call);
    return known == nullptr || known->set_returning;
  });
}

bool Prover::IsOneRow(const Query& query, const std::set<int>& fixed) {
  if (query.statement->empty()) return Several("nothing that is known");
  const std::string& kind = query.statement->begin().key();
  const Json& statement = *query.statement->begin();
  if (kind == "SelectStmt") return IsOneSelect(statement, query.scope, fixed);
  return IsOneWritten(kind, statement, Open(Member(statement, "withClause"), query.scope), fixed);
}

bool Prover::IsOneSelect(const Json& select, const Scope* scope, const std::set<int>& fixed) {
  if (IsLimitedToOne(select)) return true;
  scope = Open(Member(select, "withClause"), scope);
  const std::string set = Text(select, "op");
  if (set != "SETOP_NONE") {
    const bool left = set != "SETOP_UNION" && IsOneSelect(Member(select, "larg"), scope, fixed);
    if (left || (set == "SETOP_INTERSECT" && IsOneSelect(Member(select, "rarg"), scope, fixed))) {
      return true;
    }
    if (set == "SETOP_UNION" && IsOneUnited(select, scope, fixed)) return true;
    const size_t columns = Columns({{"SelectStmt", select}}).size();
    return (!IsTrue(select, "all") && fixed.size() == columns) || Several("a union");
  }
  const Json& values = Member(select, "valuesLists");
  if (!values.is_null()) return values.size() == 1 || Several("values");
  const Json& targets = Member(select, "targetList");
  if (ReturnsSet(targets)) return Several("a function that returns a set");

  Sources sources(this, scope);
  sources.AddFrom(Member(select, "fromClause"));
  sources.AddWhere(Member(select, "whereClause"));
  bool numbered = false;
  for (int column : fixed) {
    const auto index = static_cast<size_t>(column);
    if (index >= targets.size()) continue;
    sources.Fix(Value(targets[index]));
    numbered = numbered || NumbersRows(Value(targets[index]));
  }
  if (numbered) return true;
  sources.Solve();

  const Json& distinct = Member(select, "distinctClause");
  if (!distinct.empty()) {
    Json all = Json::array();
    for (const Json& target : targets) all.push_back(Value(target));
    // Plain DISTINCT is a list of one empty node.
    if (AreFixed(distinct[0].empty() ? all : distinct, targets, sources)) return true;
  }
  const Json& groups = Member(select, "groupClause");
  if (groups.is_null() && (select.contains("havingClause") || Aggregates(targets))) return true;
  const bool sets =
      std::ranges::any_of(groups, [](const Json& group) { return group.contains("GroupingSet"); });
  if (sets) return Several("grouping sets");
  if (!groups.empty() && AreFixed(groups, targets, sources)) return true;
  return Several(sources.Several());
}

bool Prover::IsOneUnited(const Json& select, const Scope* scope, const std::set<int>& fixed) {
  std::vector<const Json*> branches;
  std::vector<const Json*> pending = {&select};
  while (!pending.empty()) {
    const Json& next = *pending.back();
    pending.pop_back();
    if (Text(next, "op") == "SETOP_UNION") {
      pending.insert(pending.end(), {&Member(next, "rarg"), &Member(next, "larg")});
    } else {
      branches.push_back(&next);
    }
  }
  const auto parts = [&](int column) {
    std::set<std::string> constants;
    for (const Json* branch : branches) {
      const Json& targets = Member(*branch, "targetList");
      if (static_cast<size_t>(column) >= targets.size()) return false;
      const Json& constant = Member(Value(targets[static_cast<size_t>(column)]), "A_Const");
      const std::string text = Text(Member(constant, "sval"), "sval");
      if (!constant.contains("sval") || !constants.insert(text).second) return false;
    }
    return true;
  };
  return std::ranges::any_of(fixed, parts) &&
         std::ranges::all_of(
             branches, [&](const Json* branch) { return IsOneSelect(*branch, scope, fixed); });
}

bool Prover::IsOneWritten(const std::string& kind, const Json& statement, const Scope* scope,
                          const std::set<int>& fixed) {
  const Json& returning = Member(statement, "returningList");
  const auto fix = [&](Sources* sources, bool but_target) {
    for (int column : fixed) {
      const auto index = static_cast<size_t>(column);
      if (index >= returning.size()) continue;
      const Json& value = Value(returning[index]);
      const Json& reference = Member(value, "ColumnRef");
      if (but_target && (reference.is_null() || sources->SourceOf(reference) == 0)) continue;
      sources->Fix(value);
    }
  };
  if (kind == "InsertStmt") {
    const Json& select = Member(statement, "selectStmt");
    if (select.is_null() || IsOneRow({&select, scope}, {})) return true;
  } else if (kind != "UpdateStmt" && kind != "DeleteStmt") {
    return Several("merge");
  } else {
    // Each row of the target is written and returned once, whatever it is joined with. An update
    // returns new values, its condition is about the old ones: together they prove nothing.
    Sources sources(this, scope);
    sources.AddTarget(Member(statement, "relation"));
    sources.AddFrom(Member(statement, kind == "UpdateStmt" ? "fromClause" : "usingClause"));
    sources.AddWhere(Member(statement, "whereClause"));
    fix(&sources, kind == "UpdateStmt");
    sources.Solve();
    if (sources.IsOne(0)) return true;
  }
  Sources written(this, scope);
  written.AddTarget(Member(statement, "relation"));
  fix(&written, false);
  written.Solve();
  return Several(written.Several());
}

bool Prover::MayBeNull(const Query& query, int column) {
  // What a recursive query has of itself is not NULL if nothing else is.
  if (!asked_.emplace(query.statement, column).second) return false;
  const absl::Cleanup answered = [&] { asked_.erase({query.statement, column}); };
  if (query.statement->empty()) return true;
  const std::string& kind = query.statement->begin().key();
  const Json& statement = *query.statement->begin();
  if (kind == "SelectStmt") return SelectMayBeNull(statement, query.scope, column);

  const Json& returning = Member(statement, "returningList");
  if (static_cast<size_t>(column) >= returning.size()) return true;
  Sources sources(this, Open(Member(statement, "withClause"), query.scope));
  sources.AddTarget(Member(statement, "relation"));
  sources.AddFrom(Member(statement, kind == "DeleteStmt" ? "usingClause" : "fromClause"));
  return sources.MayBeNull(Value(returning[static_cast<size_t>(column)]));
}

bool Prover::SelectMayBeNull(const Json& select, const Scope* scope, int column) {
  scope = Open(Member(select, "withClause"), scope);
  const std::string set = Text(select, "op");
  if (set != "SETOP_NONE") {
    return SelectMayBeNull(Member(select, "larg"), scope, column) ||
           (set == "SETOP_UNION" && SelectMayBeNull(Member(select, "rarg"), scope, column));
  }
  const Json& targets = Member(select, "targetList");
  if (static_cast<size_t>(column) >= targets.size()) return true;
  // Subtotals are NULL.
  for (const Json& group : Member(select, "groupClause")) {
    if (group.contains("GroupingSet")) return true;
  }
  Sources sources(this, scope);
  sources.AddFrom(Member(select, "fromClause"));
  sources.AddWhere(Member(select, "whereClause"));
  return sources.MayBeNull(Value(targets[static_cast<size_t>(column)]));
}

}  // namespace twi::sql

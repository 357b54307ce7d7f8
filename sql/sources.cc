#include "sql/sources.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "sql/nulls.h"

namespace twi::sql {
namespace {

/// `x::real` compares less digits than there are, and some types have their own idea of equal.
bool ComparesLess(const Json& expression) {
  return IsCast(expression, {"float4", "float8", "bpchar", "citext"});
}

bool IsToInteger(const Json& expression) { return IsCast(expression, {"int2", "int4", "int8"}); }

/// Whether all columns in an expression are among these; then it has one value where they have.
bool HoldsOnly(const Json& expression, const std::set<std::string>& columns) {
  if (!expression.is_structured()) return true;
  return std::ranges::all_of(expression.items(), [&](const auto& item) {
    if (item.key() != "ColumnRef") return HoldsOnly(item.value(), columns);
    return columns.contains(FromEnd(Member(item.value(), "fields"), 0));
  });
}

/// `jsonb_array_elements($1)`, which has a set's calls in its rows.
bool HoldsCalls(const Json& expression) {
  const Json& call = Member(expression, "FuncCall");
  const Json& arguments = Member(call, "args");
  return FromEnd(Member(call, "funcname"), 0) == "jsonb_array_elements" && arguments.size() == 1 &&
         arguments[0].contains("ParamRef");
}

Json ColumnNode(const std::string& source, const std::string& column) {
  const auto string = [](const std::string& text) { return Json{{"String", {{"sval", text}}}}; };
  return {{"ColumnRef", {{"fields", Json::array({string(source), string(column)})}}}};
}

}  // namespace

void Sources::AddTarget(const Json& relation) {
  Source source;
  source.name = Text(relation, "relname");
  const auto found = prover_.dictionary().relations.find(RelationName(relation));
  if (found != prover_.dictionary().relations.end()) source.relation = &found->second;
  AddRelation(relation, std::move(source));
}

void Sources::AddFrom(const Json& items) {
  for (const Json& item : items) AddItem(item, false);
}

Sources::Range Sources::AddItem(const Json& item, bool nullable) {
  const size_t begin = sources_.size();
  if (item.empty()) return {begin, begin};
  const std::string& kind = item.begin().key();
  const Json& content = *item.begin();
  if (kind == "JoinExpr") return AddJoin(content, nullable);
  // A sample of rows is some of them.
  if (kind == "RangeTableSample") return AddItem(Member(content, "relation"), nullable);

  Source source;
  source.nullable = nullable;
  source.name = Text(content, "relname");
  if (kind == "RangeFunction") {
    AddFunction(content, std::move(source));
  } else if (kind == "RangeSubselect") {
    const Json& query = Member(content, "subquery");
    source.query = {&query, scope_};
    if (IsTrue(content, "lateral")) source.needs = &query;
    AddRelation(content, std::move(source));
  } else if (kind == "RangeVar") {
    const Scope* cte = content.contains("schemaname") ? nullptr : Prover::Find(scope_, source.name);
    const auto table = prover_.dictionary().relations.find(RelationName(content));
    if (cte != nullptr) {
      source.query = cte->query;
      source.columns = cte->columns;
    } else if (table != prover_.dictionary().relations.end()) {
      source.relation = &table->second;
    }
    if (cte == nullptr) source.read = RelationName(content);
    AddRelation(content, std::move(source));
  } else {
    sources_.push_back(std::move(source));
  }
  return {begin, sources_.size()};
}

void Sources::AddRelation(const Json& relation, Source source) {
  const Json& alias = Member(relation, "alias");
  if (!alias.is_null()) source.name = Text(alias, "aliasname");
  std::vector<std::string> columns;
  if (source.query.statement != nullptr) {
    for (auto& [name, value] : Prover::Columns(*source.query.statement)) columns.push_back(name);
  } else if (source.relation != nullptr) {
    columns = source.relation->columns;
  }
  source.whole = !columns.empty() && std::ranges::none_of(columns, [](const std::string& name) {
    return name.empty() || name == "*";
  });
  for (const auto& renamed : {source.columns, Strings(Member(alias, "colnames"))}) {
    std::copy_n(renamed.begin(), std::min(renamed.size(), columns.size()), columns.begin());
    // Its keys are told in the names that it has by itself.
    if (!renamed.empty()) source.relation = nullptr;
  }
  source.columns = std::move(columns);
  sources_.push_back(std::move(source));
}

void Sources::AddFunction(const Json& function, Source source) {
  const Json& alias = Member(function, "alias");
  source.name = Text(alias, "aliasname");
  source.columns = Strings(Member(alias, "colnames"));
  const Json& functions = Member(function, "functions");
  source.needs = &functions;
  source.single = true;
  bool one_column = functions.size() == 1;
  for (const Json& item : functions) {
    const Json& call = Member(Member(Member(item, "List"), "items").at(0), "FuncCall");
    const Dictionary::Function* known = prover_.FunctionOf(call);
    source.single = source.single && known != nullptr && !known->set_returning;
    one_column = one_column && known != nullptr && known->one_column;
  }
  if (IsTrue(function, "ordinality") && one_column) {
    source.ordinality = source.columns.size() == 2 ? source.columns[1] : "ordinality";
  }
  source.whole = one_column && !source.columns.empty();
  const Json& first = Member(functions.at(0), "List");
  if (one_column && !source.columns.empty() && HoldsCalls(Member(first, "items").at(0))) {
    source.calls = prover_.KeysOfCalls(source.columns[0]);
  }
  sources_.push_back(std::move(source));
}

Sources::Range Sources::AddJoin(const Json& join, bool nullable) {
  const std::string kind = Text(join, "jointype");
  const bool full = kind == "JOIN_FULL";
  const bool left = kind == "JOIN_LEFT";
  const bool right = kind == "JOIN_RIGHT";
  merges_outwards_ = merges_outwards_ || right || full;
  const Range first = AddItem(Member(join, "larg"), nullable || right || full);
  const Range second = AddItem(Member(join, "rarg"), nullable || left || full);
  const Range both = {first.begin, second.end};
  // The condition takes no rows from the side that an outer join keeps.
  Range held = both;
  if (left) held = second;
  if (right) held = first;
  if (full) held = {second.end, second.end};
  AddConditions(Member(join, "quals"), held);
  AddUsing(Member(join, "usingClause"), first, second, held);
  return both;
}

void Sources::AddUsing(const Json& names, Range left, Range right, Range range) {
  for (const std::string& name : Strings(names)) {
    std::vector<const Json*> sides;
    for (const Range& side : {left, right}) {
      for (size_t i = side.begin; i < side.end; ++i) {
        const auto& columns = sources_[i].columns;
        if (std::ranges::find(columns, name) == columns.end()) continue;
        sides.push_back(&made_.emplace_back(ColumnNode(sources_[i].name, name)));
        break;
      }
    }
    if (sides.size() == 2) equalities_.push_back({sides[0], sides[1], range});
  }
}

void Sources::AddWhere(const Json& condition) {
  AddConditions(condition, {0, sources_.size()});
  std::vector<const Json*> pending = {&condition};
  while (!pending.empty()) {
    const Json& next = *pending.back();
    pending.pop_back();
    const Json& all = Member(next, "BoolExpr");
    if (Text(all, "boolop") == "AND_EXPR") {
      for (const Json& one : Member(all, "args")) pending.push_back(&one);
    } else if (IsOperator(next, {"=", "<>", "<", ">", "<=", ">="})) {
      const Json& operation = Member(next, "A_Expr");
      for (const char* side : {"lexpr", "rexpr"}) {
        const Json& operand = Member(operation, side);
        if (operand.contains("ColumnRef")) not_null_.push_back(Bare(operand, ""));
      }
    } else if (Text(Member(next, "NullTest"), "nulltesttype") == "IS_NOT_NULL") {
      not_null_.push_back(Bare(Member(Member(next, "NullTest"), "arg"), ""));
    }
  }
}

void Sources::AddConditions(const Json& condition, Range range) {
  const Json& all = Member(condition, "BoolExpr");
  if (Text(all, "boolop") == "AND_EXPR") {
    for (const Json& one : Member(all, "args")) AddConditions(one, range);
  }
  if (!IsOperator(condition, {"="})) return;
  const Json& left = Member(Member(condition, "A_Expr"), "lexpr");
  const Json& right = Member(Member(condition, "A_Expr"), "rexpr");
  const Json& lefts = Member(Member(left, "RowExpr"), "args");
  const Json& rights = Member(Member(right, "RowExpr"), "args");
  if (lefts.is_null() || lefts.size() != rights.size()) {
    equalities_.push_back({&left, &right, range});
    return;
  }
  for (size_t i = 0; i < lefts.size(); ++i) equalities_.push_back({&lefts[i], &rights[i], range});
}

void Sources::Fix(const Json& expression) {
  equalities_.push_back({&expression, nullptr, {0, sources_.size()}});
}

Sources::Found Sources::Find(const Json& reference) const {
  const Json& fields = Member(reference, "fields");
  Found found{-1, FromEnd(fields, 0), false};
  if (found.column.empty()) return found;
  const auto find = [&](auto matches) {
    const auto source = std::ranges::find_if(sources_, matches);
    if (source != sources_.end()) found.source = static_cast<int>(source - sources_.begin());
    return source != sources_.end();
  };
  if (fields.size() > 1) {
    const std::string name = FromEnd(fields, 1);
    found.outside = !find([&](const Source& source) { return source.name == name; });
    return found;
  }
  const auto has = [&](const Source& source) {
    return std::ranges::find(source.columns, found.column) != source.columns.end();
  };
  // The database would have refused a name of two sources, unless USING merges them.
  const auto holders = std::ranges::count_if(sources_, has);
  if (holders > 1 && merges_outwards_) return found;
  if (holders > 0) {
    find(has);
  } else if (!find([&](const Source& source) { return source.name == found.column; })) {
    found.outside = std::ranges::all_of(sources_, &Source::whole);
  }
  return found;
}

bool Sources::IsFixed(const Json& node, bool plain) const {
  const bool said = std::ranges::any_of(equalities_, [&node](const Equality& equality) {
    return equality.right == nullptr && Bare(*equality.left, "") == Bare(node, "");
  });
  return said || AreFixed(node, {Calls::kAll, sources_.size(), {}}, plain);
}

bool Sources::AreFixed(const Json& node, const View& view, bool plain) const {
  if (node.is_array()) {
    return std::ranges::all_of(node, [&](const Json& part) { return AreFixed(part, view); });
  }
  if (!node.is_object()) return true;
  if (const Json& from = Member(node, "fromClause"); !from.is_null()) {
    Sources sources(&prover_, scope_);
    sources.AddFrom(from);
    View inner = view;
    inner.inside.push_back(&sources);
    // What a subquery aggregates is its own matter.
    if (view.calls == Calls::kAll) inner.calls = Calls::kChanging;
    return AreItemsFixed(node, inner, plain);
  }
  return AreItemsFixed(node, view, plain);
}

bool Sources::AreItemsFixed(const Json& node, const View& view, bool plain) const {
  return std::ranges::all_of(node.items(), [&](const auto& item) {
    if (item.key() == "ColumnRef") return IsColumnFixed(item.value(), view, plain);
    if (item.key() == "FuncCall" && !IsCallFixed(item.value(), view.calls)) return false;
    return AreFixed(item.value(), view);
  });
}

bool Sources::IsColumnFixed(const Json& reference, const View& view, bool plain) const {
  const bool inner = std::ranges::any_of(
      view.inside, [&](const Sources* sources) { return sources->Has(reference); });
  const Found found = Find(reference);
  if (inner || found.outside || found.source >= static_cast<int>(view.before)) return true;
  if (found.source < 0) return false;
  const Source& source = sources_[static_cast<size_t>(found.source)];
  return (plain || !source.nullable) && (source.one || source.fixed.contains(found.column));
}

bool Sources::IsCallFixed(const Json& call, Calls calls) const {
  if (calls == Calls::kNone) return true;
  const Dictionary::Function* known = prover_.FunctionOf(call);
  if (known == nullptr || known->changes) return false;
  return calls == Calls::kChanging ||
         (!known->set_returning && !known->aggregate && !call.contains("over"));
}

void Sources::Solve() {
  for (bool changed = true; changed;) {
    changed = FixColumns();
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (sources_[i].one || !CanBeOne(i)) continue;
      sources_[i].one = true;
      changed = true;
    }
  }
}

bool Sources::FixColumns() {
  bool changed = false;
  for (const Equality& equality : equalities_) {
    for (const auto& [side, other] :
         {std::pair(equality.left, equality.right), std::pair(equality.right, equality.left)}) {
      if (side == nullptr || !side->contains("ColumnRef")) continue;
      const Found found = Find(Member(*side, "ColumnRef"));
      const auto index = static_cast<size_t>(found.source);
      if (found.source < 0 || index < equality.range.begin || index >= equality.range.end) continue;
      if (other != nullptr && (ComparesLess(*other) || !IsFixed(*other, true))) continue;
      changed = sources_[index].fixed.insert(found.column).second || changed;
    }
  }
  return changed;
}

bool Sources::CanBeOne(size_t index) {
  const Source& source = sources_[index];
  if (source.needs != nullptr && !AreFixed(*source.needs, {Calls::kNone, index, {}})) return false;
  if (source.single) return true;
  if (!source.ordinality.empty() && source.fixed.contains(source.ordinality)) return true;
  if (source.query.statement != nullptr) {
    std::set<int> fixed;
    for (size_t i = 0; i < source.columns.size(); ++i) {
      if (source.fixed.contains(source.columns[i])) fixed.insert(static_cast<int>(i));
    }
    return prover_.IsOneRow(source.query, fixed);
  }
  const auto is_fixed = [&](const std::string& part) { return IsKeyFixed(index, part); };
  if (!source.calls.empty()) return std::ranges::all_of(source.calls, is_fixed);
  return source.relation != nullptr &&
         std::ranges::any_of(source.relation->keys, [&](const std::vector<std::string>& key) {
           return std::ranges::all_of(key, is_fixed);
         });
}

bool Sources::IsKeyFixed(size_t index, const std::string& key) const {
  const Source& source = sources_[index];
  const Json& expression = prover_.Expression(key);
  if (HoldsOnly(expression, source.fixed)) return true;
  if (expression.contains("ColumnRef")) return false;
  return std::ranges::any_of(equalities_, [&](const Equality& equality) {
    if (index < equality.range.begin || index >= equality.range.end) return false;
    const auto fixes = [&](const Json* side, const Json* other) {
      // A call's numbers are written in one way only.
      if (!source.calls.empty() && side != nullptr && IsToInteger(*side)) {
        side = &Member(Member(*side, "TypeCast"), "arg");
      }
      return side != nullptr && Bare(*side, source.name) == expression && BelongsTo(*side, index) &&
             (other == nullptr || (!ComparesLess(*other) && IsFixed(*other, true)));
    };
    return fixes(equality.left, equality.right) || fixes(equality.right, equality.left);
  });
}

/// Whether all columns in `expression` are those of one source.
bool Sources::BelongsTo(const Json& expression, size_t index) const {
  if (!expression.is_structured()) return true;
  return std::ranges::all_of(expression.items(), [&](const auto& item) {
    if (item.key() != "ColumnRef") return BelongsTo(item.value(), index);
    return Find(item.value()).source == static_cast<int>(index);
  });
}

std::string Sources::Several() const {
  const auto found = std::ranges::find(sources_, false, &Source::one);
  if (found == sources_.end()) return "";
  return found->name.empty() ? "a function" : found->name;
}

bool Sources::MayBeNull(const Json& expression) const {
  return sql::MayBeNull(expression, [this](const Json& part) -> std::optional<bool> {
    if (std::ranges::find(not_null_, Bare(part, "")) != not_null_.end()) return false;
    if (!part.contains("ColumnRef")) return std::nullopt;
    return ColumnMayBeNull(Member(part, "ColumnRef"));
  });
}

bool Sources::ColumnMayBeNull(const Json& reference) const {
  const Found found = Find(reference);
  if (found.source < 0) return true;
  const Source& source = sources_[static_cast<size_t>(found.source)];
  if (source.nullable) return true;
  if (source.relation != nullptr) return !source.relation->not_null.contains(found.column);
  if (!source.ordinality.empty() && source.ordinality == found.column) return false;
  const auto column = std::ranges::find(source.columns, found.column);
  if (source.query.statement == nullptr || column == source.columns.end()) return true;
  return prover_.MayBeNull(source.query, static_cast<int>(column - source.columns.begin()));
}

}  // namespace twi::sql

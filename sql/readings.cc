#include "sql/readings.h"

#include <utility>

#include "sql/prover.h"
#include "sql/sources.h"

namespace twi::sql {
namespace {

/// The number of a placeholder, cast to a type or not that leaves whole numbers and texts as they
/// are; 0 for other expressions.
int Placeholder(const Json& expression) {
  const Json& cast = Member(expression, "TypeCast");
  if (!cast.is_null()) {
    const Json& type = Member(cast, "typeName");
    const bool keeps = IsCast(expression, {"int2", "int4", "int8", "text", "varchar"}) &&
                       !type.contains("typmods") && !type.contains("arrayBounds");
    const Json& operand = Member(cast, "arg");
    return keeps && operand.contains("ParamRef") ? Placeholder(operand) : 0;
  }
  const Json& number = Member(Member(expression, "ParamRef"), "number");
  return number.is_number_integer() ? number.get<int>() : 0;
}

/// Goes through a statement with all that is within it.
class Reader {
 public:
  explicit Reader(const Dictionary* dictionary) : prover_(dictionary) {}

  void Visit(const Json& node, const Scope* scope) {
    if (node.is_array()) {
      for (const Json& element : node) Visit(element, scope);
    }
    if (!node.is_object()) return;
    const Scope* inner = prover_.Open(Member(node, "withClause"), scope);
    for (const Scope* each = inner; each != scope; each = each->outer) {
      Visit(*each->query.statement, each->query.scope);
    }
    if (node.contains("fromClause")) Read(node, inner);
    for (const auto& [key, child] : node.items()) {
      if (key == "RangeVar") Count(child, inner);
      if (key != "withClause") Visit(child, inner);
    }
  }

  std::map<std::string, std::vector<Reading>> Take() {
    for (auto& [relation, count] : counts_) {
      auto& readings = found_[relation];
      // One that stands elsewhere than in a FROM.
      while (readings.size() < count) readings.push_back({relation, {}});
    }
    return std::move(found_);
  }

 private:
  void Read(const Json& select, const Scope* scope) {
    Sources sources(&prover_, scope);
    sources.AddFrom(Member(select, "fromClause"));
    sources.AddWhere(Member(select, "whereClause"));
    for (Reading& reading : sources.Readings()) {
      found_[reading.relation].push_back(std::move(reading));
    }
  }

  void Count(const Json& relation, const Scope* scope) {
    const bool cte = !relation.contains("schemaname") &&
                     Prover::Find(scope, Text(relation, "relname")) != nullptr;
    if (!cte) ++counts_[RelationName(relation)];
  }

  Prover prover_;
  std::map<std::string, std::vector<Reading>> found_;
  std::map<std::string, size_t> counts_;
};

}  // namespace

std::vector<Reading> Sources::Readings() const {
  std::vector<Reading> readings;
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i].read.empty()) continue;
    Reading& reading = readings.emplace_back(Reading{sources_[i].read, {}});
    // Without a relation its columns have other names here.
    if (sources_[i].relation == nullptr) continue;
    for (const Equality& equality : equalities_) {
      if (i < equality.range.begin || i >= equality.range.end) continue;
      for (const auto& [side, other] :
           {std::pair(equality.left, equality.right), std::pair(equality.right, equality.left)}) {
        const int parameter = Placeholder(*other);
        if (parameter == 0 || !side->contains("ColumnRef")) continue;
        const Found found = Find(Member(*side, "ColumnRef"));
        if (found.source == static_cast<int>(i)) reading.pins.push_back({found.column, parameter});
      }
    }
  }
  return readings;
}

absl::StatusOr<std::map<std::string, std::vector<Reading>>> FindReadings(
    std::string_view text, const Dictionary& dictionary) {
  const auto statements = ParseStatements(text);
  if (!statements.ok()) return statements.status();
  Reader reader(&dictionary);
  reader.Visit(*statements, nullptr);
  return reader.Take();
}

}  // namespace twi::sql

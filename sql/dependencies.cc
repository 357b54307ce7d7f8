#include "sql/dependencies.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <pqxx/pqxx>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "sql/replication.h"

namespace twi::sql {
namespace {

// Functions of PostgreSQL's that count as stable for the sake of settings which all of our
// connections pin (time zone, forms of values) or which only change with the schema (text search).
constexpr std::array kPinned = {"array_to_json",
                                "array_to_string",
                                "concat",
                                "concat_ws",
                                "date",
                                "date_part",
                                "date_trunc",
                                "extract",
                                "format",
                                "generate_series",
                                "json_agg",
                                "json_build_array",
                                "json_build_object",
                                "json_object_agg",
                                "json_populate_record",
                                "json_populate_recordset",
                                "json_to_record",
                                "json_to_recordset",
                                "jsonb_agg",
                                "jsonb_build_array",
                                "jsonb_build_object",
                                "jsonb_object_agg",
                                "jsonb_populate_record",
                                "jsonb_populate_recordset",
                                "jsonb_to_record",
                                "jsonb_to_recordset",
                                "make_timestamptz",
                                "phraseto_tsquery",
                                "plainto_tsquery",
                                "row_to_json",
                                "timestamp",
                                "timestamptz",
                                "timezone",
                                "to_char",
                                "to_json",
                                "to_jsonb",
                                "to_timestamp",
                                "to_tsquery",
                                "to_tsvector",
                                "ts_headline",
                                "websearch_to_tsquery"};

constexpr char kRelation[] = R"sql(
select c.oid, c.relkind::text, c.relpersistence::text, c.relrowsecurity, c.oid < 16384,
  coalesce(nullif(pg_partition_root(c.oid)::oid, 0), c.oid),
  exists (select from pg_inherits i where i.inhparent = c.oid and c.relkind = 'r'),
  case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end
from pg_class c
where c.oid = to_regclass(
  (select string_agg(quote_ident(part), '.') from unnest(string_to_array($1, '.')) part)))sql";

// Of a partition's root.
constexpr char kTable[] = R"sql(
select c.oid::regclass::text,
  exists (
    select from pg_publication_tables t
    where t.pubname = $2 and t.schemaname = n.nspname and t.tablename = c.relname),
  array_to_string(array(
    select a.attname
    from pg_index i, unnest(i.indkey) k (number)
    join pg_attribute a on a.attnum = k.number
    where a.attrelid = c.oid and i.indrelid = c.oid
      and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident end), ',')
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid = $1::oid)sql";

constexpr char kFunctions[] = R"sql(
select p.provolatile::text, p.oid < 16384, l.lanname, p.prokind::text, p.proconfig is not null,
  case when l.lanname = 'sql' then coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) end
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_language l on l.oid = p.prolang
where p.proname = $2 and case when $1 = '' then pg_function_is_visible(p.oid) else n.nspname = $1 end)sql";

/// Follows statements to their tables; what it has found once it does not ask for again.
class Search {
 public:
  explicit Search(pqxx::transaction_base& transaction) : transaction_(transaction) {}

  Dependencies Of(const Analysis& statement) {
    Dependencies all;
    std::set<Oid> seen;
    Follow(statement, /*outermost=*/true, &seen, &all);
    return all;
  }

 private:
  void Follow(const Analysis& statement, bool outermost, std::set<Oid>* seen, Dependencies* all) {
    for (const std::string& function : statement.functions) FollowFunction(function, seen, all);
    for (const std::string& relation : statement.reads) {
      FollowRelation(relation, outermost, seen, all);
    }
  }

  static void Refuse(Dependencies* all, const std::string& why) {
    if (all->refusal.empty()) all->refusal = why;
  }
  static void RefuseForGood(Dependencies* all, const std::string& why) {
    if (all->flaw.empty()) all->flaw = why;
    Refuse(all, why);
  }

  void FollowText(const std::string& text, const std::string& whose, std::set<Oid>* seen,
                  Dependencies* all) {
    const auto analysis = Analyse(text);
    if (!analysis.ok() || !analysis->read_only()) {
      return RefuseForGood(all, absl::StrCat(whose, " cannot be looked into"));
    }
    Follow(*analysis, /*outermost=*/false, seen, all);
  }

  void FollowRelation(const std::string& name, bool outermost, std::set<Oid>* seen,
                      Dependencies* all) {
    const pqxx::result found = transaction_.exec_params(kRelation, name);
    if (found.empty()) return Refuse(all, absl::StrCat("there is no relation ", name));
    const pqxx::row row = found[0];
    const auto kind = row[1].as<std::string>();
    if (row[4].as<bool>())
      return RefuseForGood(all, absl::StrCat(name, " is of the system catalog"));
    if (row[3].as<bool>()) return Refuse(all, absl::StrCat(name, " has row security"));
    if (kind == "v") {
      if (!seen->insert(row[0].as<Oid>()).second) return;
      return FollowText(row[7].as<std::string>(), absl::StrCat("the view ", name), seen, all);
    }
    if (kind != "r" && kind != "p") {
      return Refuse(all, absl::StrCat("no changes are told of ", name, ", which is no table"));
    }
    if (row[2].as<std::string>() != "p") {
      return Refuse(all, absl::StrCat("no changes are told of ", name, ", which is not permanent"));
    }
    if (row[6].as<bool>()) return Refuse(all, absl::StrCat("other tables inherit from ", name));
    AddTable(row[5].as<Oid>(), outermost ? name : "", all);
  }

  void AddTable(Oid oid, const std::string& called, Dependencies* all) {
    auto same = std::ranges::find(all->tables, oid, &TableDependency::table);
    if (same == all->tables.end()) {
      const pqxx::row row = transaction_.exec_params1(kTable, oid, kPublication);
      const auto name = row[0].as<std::string>();
      if (!row[1].as<bool>()) Refuse(all, absl::StrCat(name, " is not published"));
      std::vector<std::string> identity;
      if (!row[2].as<std::string>().empty()) {
        identity = absl::StrSplit(row[2].as<std::string>(), ',');
      }
      all->tables.push_back({oid, name, std::move(identity)});
      same = std::prev(all->tables.end());
    }
    if (!called.empty()) all->by_name[called] = static_cast<size_t>(same - all->tables.begin());
  }

  void FollowFunction(const std::string& name, std::set<Oid>* seen, Dependencies* all) {
    const size_t dot = name.rfind('.');
    const std::string schema = dot == name.npos ? "" : name.substr(0, dot);
    const std::string plain = dot == name.npos ? name : name.substr(dot + 1);
    const pqxx::result found = transaction_.exec_params(kFunctions, schema, plain);
    // `current_timestamp` and its like are syntax.
    if (found.empty())
      return RefuseForGood(all, absl::StrCat(name, " depends on more than the tables"));
    for (const pqxx::row& row : found) {
      const auto volatility = row[0].as<std::string>();
      const bool of_postgres = row[1].as<bool>();
      if (volatility == "i") continue;
      if (of_postgres && std::ranges::find(kPinned, plain) != kPinned.end()) continue;
      if (volatility == "v") return RefuseForGood(all, absl::StrCat(name, "() is volatile"));
      if (of_postgres) {
        return RefuseForGood(all, absl::StrCat(name, "() depends on more than the tables"));
      }
      if (row[5].is_null() || row[4].as<bool>()) {
        return RefuseForGood(all, absl::StrCat(name, "() cannot be looked into"));
      }
      FollowText(row[5].as<std::string>(), absl::StrCat(name, "()"), seen, all);
    }
  }

  pqxx::transaction_base& transaction_;
};

}  // namespace

absl::StatusOr<std::vector<Dependencies>> FindDependencies(
    const std::string& dsn, const std::vector<const Analysis*>& statements) {
  try {
    pqxx::connection connection(dsn);
    pqxx::read_transaction transaction(connection);
    Search search(transaction);
    std::vector<Dependencies> all;
    for (const Analysis* statement : statements) all.push_back(search.Of(*statement));
    return all;
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StripSuffix(error.what(), "\n"));
  }
}

}  // namespace twi::sql

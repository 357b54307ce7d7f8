#include "sql/dependencies.h"

#include <algorithm>
#include <array>
#include <map>
#include <pqxx/pqxx>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "sql/analysis.h"
#include "sql/dictionary.h"
#include "sql/outbox_triggers.h"
#include "sql/readings.h"
#include "sql/replication.h"
#include "sql/schema_watch.h"
#include "sql/side_inputs.h"

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

// An answer with more is wrong soon, and a hit looks at each of them.
constexpr size_t kMostTables = 8;

constexpr char kRelation[] = R"sql(
select c.oid, c.relkind::text, c.relpersistence::text, c.relrowsecurity, c.oid < 16384,
  coalesce(nullif(pg_partition_root(c.oid)::oid, 0), c.oid),
  exists (select from pg_inherits i where i.inhparent = c.oid and c.relkind = 'r'),
  case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end
from pg_class c
where c.oid = to_regclass(
  (select string_agg(quote_ident(part), '.') from unnest(string_to_array($1, '.')) part)))sql";

// Of a partition's root: whether the publication $2 has all that happens to it.
constexpr char kPublished[] = R"sql(
select c.oid::regclass::text,
  exists (
    select from pg_publication_tables t
    join pg_publication p using (pubname)
    where t.pubname = $2 and t.schemaname = n.nspname and t.tablename = c.relname
      and t.rowfilter is null and (p.pubviaroot or c.relkind = 'r')
      and p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where c.oid = $1::oid)sql";

// The columns of a table's replica identity whose values are equal exactly if they are the same
// text. Partitions may have identities of their own.
constexpr char kIdentity[] = R"sql(
select a.attname, a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and a.attgenerated = ''
left join pg_collation l on l.oid = a.attcollation
where c.oid = $1::oid and c.relkind = 'r' and $2 <> ''
  and (a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
    or a.atttypid in ('text'::regtype, 'varchar'::regtype) and l.collisdeterministic)
  and (c.relreplident = 'f' or exists (
    select from pg_index i, unnest(i.indkey) with ordinality k (attnum, place)
    where i.indrelid = c.oid and k.attnum = a.attnum and k.place <= i.indnkeyatts
      and i.indisvalid and i.indimmediate
      and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident end)))sql";

constexpr char kFunctions[] = R"sql(
select p.provolatile::text, p.oid < 16384, p.proconfig is not null, p.oid,
  case when l.lanname = 'sql' then coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) end
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_language l on l.oid = p.prolang
where p.proname = $2 and case when $1 = '' then pg_function_is_visible(p.oid) else n.nspname = $1 end)sql";

// Between names that are passed as one list.
constexpr char kBetween[] = "\x01";

// Of $1, columns that are of one of the relations $2 and no text in any of them.
constexpr char kNoTexts[] = R"sql(
select a.attname
from unnest(string_to_array($2, E'\x01')) relation
join pg_attribute a on a.attnum > 0 and not a.attisdropped and a.attrelid = to_regclass(
  (select string_agg(quote_ident(part), '.') from unnest(string_to_array(relation, '.')) part))
join pg_type t on t.oid = a.atttypid
where a.attname = any (string_to_array($1, E'\x01'))
group by a.attname
having bool_and(t.typcategory in ('B', 'D', 'N', 'T')))sql";

constexpr char kOwnOperators[] = R"sql(
select oprname from pg_operator where oid >= 16384 and oprname = any (string_to_array($1, ' '))
limit 1)sql";

/// What is asked of a table, by its number and a name, and what is said of one of which not all is
/// told.
struct Telling {
  const char* table;
  const char* columns;
  const char* name;
  const char* lack;
};

Telling TellingOf(ChangesFrom from) {
  if (from == ChangesFrom::kOutbox) {
    return {kToldByTriggers, kColumnsOfTriggers, kOwnSchema, " lacks triggers that tell of it"};
  }
  return {kPublished, kIdentity, kPublication, " is not published"};
}

/// Follows one statement to its tables.
class Search {
 public:
  Search(const Dictionary* dictionary, const Telling& telling, pqxx::transaction_base* transaction)
      : dictionary_(*dictionary), telling_(telling), transaction_(*transaction) {}

  Dependencies Of(const Statement& statement) {
    raw_ = statement.raw;
    const auto analysis = Analyse(statement.text);
    const auto readings = FindReadings(statement.text, dictionary_);
    if (analysis.ok() && readings.ok()) {
      Follow(statement.text, *analysis, /*outermost=*/true);
      for (TableDependency& table : all_.tables) FindKeys(*readings, &table);
      if (all_.tables.size() > kMostTables) {
        Refuse(absl::StrCat("it reads more than ", kMostTables, " tables"));
      }
    } else {
      RefuseForGood("it is not SQL");
    }
    return std::move(all_);
  }

 private:
  void Follow(const std::string& text, const Analysis& statement, bool outermost) {
    for (const std::string& function : statement.functions) FollowFunction(function);
    for (const std::string& relation : statement.reads) FollowRelation(relation, outermost);
    if (raw_) LookAside(text, statement);
  }

  void LookAside(const std::string& text, const Analysis& statement) {
    const auto inputs = FindSideInputs(text);
    if (!inputs.ok()) return RefuseForGood("it is not SQL");
    if (!inputs->flaw.empty()) return RefuseForGood(inputs->flaw);
    const pqxx::result no_texts = transaction_.exec_params(
        kNoTexts, absl::StrJoin(inputs->timed, kBetween), absl::StrJoin(statement.reads, kBetween));
    if (no_texts.size() != inputs->timed.size()) {
      return RefuseForGood("it makes a time of what may be text");
    }
    const pqxx::result own =
        transaction_.exec_params(kOwnOperators, absl::StrJoin(inputs->operators, " "));
    if (!own.empty()) RefuseForGood(absl::StrCat(own[0][0].c_str(), " cannot be looked into"));
  }

  void Refuse(const std::string& why) {
    if (all_.refusal.empty()) all_.refusal = why;
  }
  void RefuseForGood(const std::string& why) {
    if (all_.flaw.empty()) all_.flaw = why;
    Refuse(why);
  }

  void FollowText(const std::string& text, const std::string& whose) {
    const auto analysis = Analyse(text);
    if (!analysis.ok() || !analysis->read_only()) {
      return RefuseForGood(absl::StrCat(whose, " cannot be looked into"));
    }
    Follow(text, *analysis, /*outermost=*/false);
  }

  void FollowRelation(const std::string& name, bool outermost) {
    const pqxx::result found = transaction_.exec_params(kRelation, name);
    if (found.empty()) return Refuse(absl::StrCat("there is no relation ", name));
    const pqxx::row row = found[0];
    const auto kind = row[1].as<std::string>();
    if (row[4].as<bool>()) return RefuseForGood(absl::StrCat(name, " is of the system catalog"));
    if (row[3].as<bool>()) return Refuse(absl::StrCat(name, " has row security"));
    if (kind == "v") {
      if (!views_.insert(row[0].as<Oid>()).second) return;
      return FollowText(row[7].as<std::string>(), absl::StrCat("the view ", name));
    }
    if (kind != "r" && kind != "p") {
      return Refuse(absl::StrCat("no changes are told of ", name, ", which is no table"));
    }
    if (row[2].as<std::string>() != "p") {
      return Refuse(absl::StrCat("no changes are told of ", name, ", which is not permanent"));
    }
    if (row[6].as<bool>()) return Refuse(absl::StrCat("other tables inherit from ", name));
    AddTable(row[5].as<Oid>(), outermost ? name : "");
  }

  void AddTable(Oid oid, const std::string& called) {
    if (!called_[oid].insert(called).second || called_[oid].size() > 1) return;
    const pqxx::row row = transaction_.exec_params1(telling_.table, oid, telling_.name);
    const auto name = row[0].as<std::string>();
    if (!row[1].as<bool>()) Refuse(absl::StrCat(name, telling_.lack));
    all_.tables.push_back({oid, name, {}});
  }

  /// A key for each place that reads the table, if there is one for all of them.
  void FindKeys(const std::map<std::string, std::vector<Reading>>& readings,
                TableDependency* table) {
    std::map<std::string, bool> identity;
    for (const pqxx::row& row :
         transaction_.exec_params(telling_.columns, table->table, telling_.name)) {
      identity[row[0].as<std::string>()] = row[1].as<bool>();
    }
    std::vector<TableDependency::Key> keys;
    for (const std::string& name : called_[table->table]) {
      const auto places = readings.find(name);
      // What a view or a function reads is not looked at so closely.
      if (places == readings.end()) return;
      for (const Reading& place : places->second) {
        const auto pin = std::ranges::find_if(
            place.pins, [&](const Pin& each) { return identity.contains(each.column); });
        if (pin == place.pins.end()) return;
        keys.push_back({pin->column, identity[pin->column], pin->parameter});
      }
    }
    table->keys = std::move(keys);
  }

  void FollowFunction(const std::string& name) {
    const size_t dot = name.rfind('.');
    const std::string schema = dot == name.npos ? "" : name.substr(0, dot);
    const std::string plain = dot == name.npos ? name : name.substr(dot + 1);
    const pqxx::result found = transaction_.exec_params(kFunctions, schema, plain);
    // `current_timestamp` and its like are syntax.
    if (found.empty()) return RefuseForGood(absl::StrCat(name, " depends on more than the tables"));
    for (const pqxx::row& row : found) {
      const auto volatility = row[0].as<std::string>();
      const bool of_postgres = row[1].as<bool>();
      if (volatility == "i") continue;
      if (of_postgres && std::ranges::find(kPinned, plain) != kPinned.end()) continue;
      if (volatility == "v") return RefuseForGood(absl::StrCat(name, "() is volatile"));
      if (of_postgres) {
        return RefuseForGood(absl::StrCat(name, "() depends on more than the tables"));
      }
      if (row[4].is_null() || row[2].as<bool>()) {
        return RefuseForGood(absl::StrCat(name, "() cannot be looked into"));
      }
      if (!functions_.insert(row[3].as<Oid>()).second) continue;
      FollowText(row[4].as<std::string>(), absl::StrCat(name, "()"));
    }
  }

  const Dictionary& dictionary_;
  const Telling telling_;
  pqxx::transaction_base& transaction_;
  bool raw_ = false;
  Dependencies all_;
  /// What the statement calls each table; "" where a view or a function reads it.
  std::map<Oid, std::set<std::string>> called_;
  std::set<Oid> views_;
  std::set<Oid> functions_;
};

}  // namespace

absl::StatusOr<AllDependencies> FindDependencies(const std::string& dsn,
                                                 const std::vector<Statement>& statements,
                                                 ChangesFrom from) {
  try {
    pqxx::connection connection(dsn);
    pqxx::read_transaction transaction(connection);
    // First: what follows sees no less.
    const pqxx::binarystring bytes(
        transaction.exec1("select pg_snapshot_send(pg_current_snapshot())")[0]);
    const auto snapshot = Snapshot::Read({bytes.get(), bytes.size()});
    const auto dictionary = ReadDictionary(dsn);
    if (!dictionary.ok()) return dictionary.status();
    AllDependencies all{snapshot.value_or(Snapshot()), {}};
    for (const Statement& statement : statements) {
      all.each.push_back(Search(&*dictionary, TellingOf(from), &transaction).Of(statement));
    }
    return all;
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StripSuffix(error.what(), "\n"));
  }
}

}  // namespace twi::sql

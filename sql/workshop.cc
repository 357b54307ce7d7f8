#include "sql/workshop.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "sql/text.h"

namespace twi::sql {
namespace {

using Kind = Optimization::Kind;

/// How the definition of an index that cannot be used ends.
constexpr char kInvalid[] = "(invalid)";

constexpr char kObjectInUse[] = "55006";

/// The end of the name of an index that takes the place of another one.
constexpr char kNext[] = "_next";

constexpr char kServes[] = R"sql(
select there.relname
from pg_index w
join pg_class wanted on wanted.oid = w.indexrelid
join pg_index x on x.indrelid = $2::text::regclass and x.indexrelid <> w.indexrelid and x.indisvalid
join pg_class there on there.oid = x.indexrelid and there.relam = wanted.relam
where w.indexrelid = $1::text::regclass
  and pg_get_expr(x.indpred, x.indrelid) is not distinct from pg_get_expr(w.indpred, w.indrelid)
  and x.indnkeyatts >= w.indnkeyatts
  and (not w.indisunique or x.indisunique and x.indnkeyatts = w.indnkeyatts)
  and not exists (
    select
    from generate_series(1, w.indnkeyatts) k
    where pg_get_indexdef(x.indexrelid, k, true) <> pg_get_indexdef(w.indexrelid, k, true)
      or x.indclass[k - 1] <> w.indclass[k - 1]
      or x.indcollation[k - 1] <> w.indcollation[k - 1])
  and not exists (
    select pg_get_indexdef(w.indexrelid, k, true)
    from generate_series(w.indnkeyatts + 1, w.indnatts) k
    except
    select pg_get_indexdef(x.indexrelid, k, true)
    from generate_series(1, x.indnatts) k)
order by x.indnatts, there.relname
limit 1
)sql";

/// The beginning of the day that the index $1 of recent rows begins with, by its predicate.
constexpr char kBegin[] = R"sql(
select substring(pg_get_expr(indpred, indrelid) from '''(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)''::timestamp')
from pg_index
where indexrelid = to_regclass($1::text) and indisvalid
)sql";

/// That of the first of $1 days, UTC.
constexpr char kCutoff[] = R"sql(
select date_trunc('day', now() at time zone 'UTC') - $1 * interval '1 day'
)sql";

std::string BeginOf(pqxx::transaction_base& transaction, const std::string& index) {
  const pqxx::result found = transaction.exec_params(kBegin, index);
  return found.empty() ? "" : found[0][0].c_str();
}

std::string Cutoff(pqxx::transaction_base& transaction, int days) {
  return transaction.exec_params(kCutoff, days)[0][0].as<std::string>();
}

/// The step's text; an index of recent rows begins when the one of `schema` (quoted) does.
std::string TextOf(pqxx::transaction_base& transaction, const Optimization& step,
                   const std::string& schema) {
  if (step.recent_days == 0) return step.text;
  const std::string begin =
      BeginOf(transaction, absl::StrCat(schema, ".", transaction.conn().quote_name(step.name)));
  return WithCutoff(step, begin.empty() ? Cutoff(transaction, step.recent_days) : begin);
}

/// Makes what the step would make of the tables in `schema`: no index that another serves for, and
/// nothing when it lacks a table.
void MakeBeside(pqxx::work& work, const std::string& schema, const std::string& live_schema,
                const Optimization& step) {
  if (step.kind == Kind::kSettings) return;
  try {
    pqxx::subtransaction attempt(work);
    attempt.exec(TextOf(attempt, step, work.quote_name(live_schema)));
    if (step.kind == Kind::kIndex) {
      const std::string index = absl::StrCat(schema, ".", work.quote_name(step.name));
      const std::string table = absl::StrCat(schema, ".", work.quote_name(step.table));
      if (!IndexThatServes(attempt, index, table).empty()) return;
    }
    attempt.commit();
  } catch (const pqxx::sql_error&) {
  }
}

}  // namespace

std::string IndexThatServes(pqxx::transaction_base& transaction, const std::string& index,
                            const std::string& table) {
  const pqxx::result found = transaction.exec_params(kServes, index, table);
  return found.empty() ? "" : found[0][0].as<std::string>();
}

void ExpectOptimized(pqxx::work& work, const std::string& schema, const std::string& live_schema,
                     const std::vector<SchemaObject>& live, std::vector<SchemaObject>* expected) {
  // A function may be of tables that are not there.
  work.exec("set local check_function_bodies = off");
  for (const EmbeddedText& set : kOptimizations) {
    const absl::StatusOr<std::vector<Optimization>> steps = ReadOptimizations(set);
    if (!steps.ok()) continue;  // A fault of ours, which a test finds.
    for (const Optimization& step : *steps) MakeBeside(work, schema, live_schema, step);
  }
  const auto titles = [](const std::vector<SchemaObject>& objects) {
    std::set<std::string> set;
    for (const SchemaObject& object : objects) set.insert(object.Title());
    return set;
  };
  const std::set<std::string> there = titles(live);
  const std::set<std::string> known = titles(*expected);
  for (SchemaObject& object : ReadSchema(work, schema)) {
    if (known.contains(object.Title())) continue;
    // An index of a view belongs to it.
    if (there.contains(object.Title()) || there.contains("materialized view " + object.relation)) {
      expected->push_back(std::move(object));
    }
  }
}

bool DropViews(pqxx::work& work) {
  bool dropped = false;
  for (const EmbeddedText& set : kOptimizations) {
    const absl::StatusOr<std::vector<Optimization>> steps = ReadOptimizations(set);
    if (!steps.ok()) continue;
    for (const Optimization& step : *steps) {
      if (step.kind != Kind::kView) continue;
      const std::string name = work.quote_name(step.name);
      const pqxx::result there = work.exec_params("select to_regclass($1::text) is not null", name);
      if (!there[0][0].as<bool>()) continue;
      work.exec("drop materialized view " + name);
      dropped = true;
    }
  }
  return dropped;
}

Workshop::Workshop(const std::string& dsn) : connection_(dsn) {
  // Building takes as long as it takes, whatever the role's settings say.
  Run("set statement_timeout = 0; set lock_timeout = 0;"
      " set idle_in_transaction_session_timeout = 0; set timezone = 'UTC'");
  try {
    // Who is interrupted must not leave a process behind that works on, with the locks. Not every
    // platform that PostgreSQL runs on has it.
    Run("set client_connection_check_interval = '1s'");
  } catch (const pqxx::sql_error&) {
  }
  schema_ = Run("select current_schema()")[0][0].as<std::string>();
}

pqxx::result Workshop::Run(const std::string& statement) {
  return pqxx::nontransaction(connection_).exec(statement);
}

std::string Workshop::Quoted(const std::string& name) {
  return absl::StrCat(connection_.quote_name(schema_), ".", connection_.quote_name(name));
}

void Workshop::Survey() {
  definitions_.clear();
  pqxx::nontransaction session(connection_);
  for (SchemaObject& object : ReadSchema(session, schema_)) {
    definitions_.emplace(object.Title(), std::move(object.definition));
  }
}

std::string Workshop::Has(const std::string& title) const {
  const auto found = definitions_.find(title);
  return found == definitions_.end() ? "" : found->second;
}

bool Workshop::HasAll(const std::vector<SchemaObject>& objects) const {
  return std::all_of(objects.begin(), objects.end(), [this](const SchemaObject& object) {
    return Has(object.Title()) == object.definition;
  });
}

void Workshop::Try(pqxx::work& work, const Optimization& step) {
  work.exec(absl::StrCat("create schema ", kBench));
  work.exec(
      absl::StrCat("set local search_path = ", kBench, ", ", connection_.quote_name(schema_)));
  if (!step.table.empty()) {
    work.exec(absl::StrCat("create table ", connection_.quote_name(step.table), " (like ",
                           Quoted(step.table), ")"));
  }
  work.exec(TextOf(work, step, connection_.quote_name(schema_)));
}

Workshop::Result Workshop::Apply(const Optimization& step) {
  switch (step.kind) {
    case Kind::kIndex:
      return ApplyIndex(step);
    case Kind::kView:
      return ApplyView(step);
    case Kind::kFunction:
      return ApplyFunction(step);
    case Kind::kSettings:
      return ApplySettings(step);
  }
  return {StepOutcome::kFailed, ""};
}

Workshop::Result Workshop::ApplyIndex(const Optimization& step) {
  const std::string object = "index " + step.name;
  std::string wanted;
  std::string serves;
  {
    pqxx::work work(connection_);
    Try(work, step);
    for (const SchemaObject& made : ReadSchema(work, kBench)) {
      if (made.Title() == object) wanted = made.definition;
    }
    serves = IndexThatServes(work, absl::StrCat(kBench, ".", connection_.quote_name(step.name)),
                             Quoted(step.table));
    work.abort();
  }
  const std::string has = Has(object);
  if (has == wanted) return {StepOutcome::kThere, ""};
  const bool half = absl::EndsWith(has, kInvalid);
  if (!serves.empty()) {
    if (half) Run("drop index concurrently " + Quoted(step.name));
    return {StepOutcome::kServed, serves};
  }
  Build(step, !has.empty() && !half);
  if (half) return {StepOutcome::kRebuilt, "an interrupted run had left half of it"};
  if (has.empty()) return {StepOutcome::kMade, ""};
  return {StepOutcome::kReplaced, "was " + has};
}

void Workshop::Build(const Optimization& step, bool replace) {
  const std::string next = step.name + kNext;
  const std::string name = replace ? next : step.name;
  // One that is half there may be another's that is at work.
  const pqxx::result builders = Run(absl::StrCat(
      "select pid from pg_stat_progress_create_index where datname = current_database()"
      " and index_relid in (to_regclass(",
      connection_.quote(Quoted(step.name)), "), to_regclass(", connection_.quote(Quoted(next)),
      "))"));
  if (!builders.empty()) {
    throw pqxx::sql_error("process " + builders[0][0].as<std::string>() + " is making it", "",
                          kObjectInUse);
  }
  Run("drop index concurrently if exists " + Quoted(next));
  if (!replace) Run("drop index concurrently if exists " + Quoted(step.name));
  try {
    pqxx::nontransaction session(connection_);
    session.exec(
        Concurrently(step, connection_.quote_name(name), Cutoff(session, step.recent_days)));
  } catch (const pqxx::sql_error&) {
    // Half an index costs writers as much as a whole one.
    Run("drop index concurrently if exists " + Quoted(name));
    throw;
  }
  if (!replace) return;
  Run("drop index concurrently if exists " + Quoted(step.name));
  Run(absl::StrCat("alter index ", Quoted(next), " rename to ", connection_.quote_name(step.name)));
}

bool Workshop::Finish(const Optimization& step) {
  const std::string next = Quoted(step.name + kNext);
  const pqxx::result found = Run(absl::StrCat(
      "select indisvalid and to_regclass(", connection_.quote(Quoted(step.name)),
      ") is null from pg_index where indexrelid = to_regclass(", connection_.quote(next), ")"));
  if (found.empty()) return false;
  if (!found[0][0].as<bool>()) {
    Run("drop index concurrently " + next);
    return false;
  }
  Run(absl::StrCat("alter index ", next, " rename to ", connection_.quote_name(step.name)));
  return true;
}

std::string Workshop::CutoffOf(const Optimization& step) {
  pqxx::nontransaction session(connection_);
  return Cutoff(session, step.recent_days);
}

Workshop::Result Workshop::Roll(const Optimization& step, bool dry) {
  const bool finished = !dry && Finish(step);
  std::string begin;
  std::string latest;
  const auto look = [&] {
    pqxx::nontransaction session(connection_);
    begin = BeginOf(session, Quoted(step.name));
    latest = Cutoff(session, step.recent_days + step.recent_days / 4);
  };
  look();
  if (finished) return {StepOutcome::kRolled, "to " + begin.substr(0, 10)};
  // It is not made; or not of recent rows, which `optimize` tells.
  if (begin.empty() || begin >= latest) return {StepOutcome::kThere, ""};
  const std::string was = begin;
  if (!dry) Build(step, true);
  look();
  if (dry) begin = CutoffOf(step);
  return {StepOutcome::kRolled,
          absl::StrCat("from ", was.substr(0, 10), " to ", begin.substr(0, 10))};
}

Workshop::Result Workshop::ApplyView(const Optimization& step) {
  pqxx::work work(connection_);
  Try(work, step);
  const bool replace = !Has("materialized view " + step.name).empty();
  if (HasAll(ReadSchema(work, kBench))) {
    work.abort();
    const std::string populated = absl::StrCat("select relispopulated from pg_class where oid = ",
                                               connection_.quote(Quoted(step.name)), "::regclass");
    if (Run(populated)[0][0].as<bool>()) return {StepOutcome::kThere, ""};
    Run("refresh materialized view " + Quoted(step.name));
    return {StepOutcome::kRefreshed, ""};
  }
  const std::string made = absl::StrCat(kBench, ".", connection_.quote_name(step.name));
  work.exec("refresh materialized view " + made);
  work.exec("analyze " + made);
  // Who may read the old one may read the new one.
  std::vector<std::string> grants;
  for (const pqxx::row& row :
       work.exec_params("select format('grant %s on %s to %s%s', a.privilege_type, $2::text,"
                        "   case a.grantee when 0 then 'public' else a.grantee::regrole::text end,"
                        "   case when a.is_grantable then ' with grant option' end)"
                        " from pg_class c, aclexplode(c.relacl) a"
                        " where c.oid = to_regclass($1::text) and a.grantee <> c.relowner",
                        Quoted(step.name), made)) {
    grants.push_back(row[0].as<std::string>());
  }
  for (const std::string& grant : grants) work.exec(grant);
  // From here on readers of the old one wait, so this must not wait for one that takes its time.
  work.exec("set local lock_timeout = '5s'");
  work.exec("drop materialized view if exists " + Quoted(step.name));
  work.exec(absl::StrCat("alter materialized view ", made, " set schema ",
                         connection_.quote_name(schema_)));
  work.exec(absl::StrCat("drop schema ", kBench));
  work.commit();
  return {replace ? StepOutcome::kReplaced : StepOutcome::kMade, ""};
}

Workshop::Result Workshop::ApplyFunction(const Optimization& step) {
  pqxx::work work(connection_);
  Try(work, step);
  const std::vector<SchemaObject> functions = ReadSchema(work, kBench);
  if (HasAll(functions)) return {StepOutcome::kThere, ""};
  bool replace = false;
  for (const pqxx::row& row :
       work.exec_params("select format('%I(%s)', proname, pg_get_function_identity_arguments(oid))"
                        " from pg_proc where pronamespace = $1::text::regnamespace",
                        kBench)) {
    const auto function = row[0].as<std::string>();
    replace = replace || !Has("function " + function).empty();
    const std::string schema = connection_.quote_name(schema_);
    work.exec(absl::StrCat("drop function if exists ", schema, ".", function));
    work.exec(absl::StrCat("alter function ", kBench, ".", function, " set schema ", schema));
  }
  work.exec(absl::StrCat("drop schema ", kBench));
  work.commit();
  return {replace ? StepOutcome::kReplaced : StepOutcome::kMade, ""};
}

Workshop::Result Workshop::ApplySettings(const Optimization& step) {
  {
    pqxx::work work(connection_);
    Try(work, step);
    const pqxx::result there = work.exec_params(
        "select coalesce(l.reloptions, '{}') @> w.reloptions from pg_class l, pg_class w"
        " where l.oid = $1::text::regclass and w.oid = $2::text::regclass",
        Quoted(step.table), absl::StrCat(kBench, ".", connection_.quote_name(step.table)));
    if (there[0][0].as<bool>()) return {StepOutcome::kThere, ""};
    work.abort();
  }
  Run(step.text);
  return {StepOutcome::kMade, ""};
}

}  // namespace twi::sql

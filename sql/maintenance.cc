#include "sql/maintenance.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace twi::sql {
namespace {

constexpr char kUndefinedTable[] = "42P01";

// REINDEX CONCURRENTLY names what it makes and what it replaces so, with a number when it must.
constexpr char kInvalid[] = R"sql(
select c.relname
from pg_index x
join pg_class c on c.oid = x.indexrelid
where c.relnamespace = $1::text::regnamespace
  and c.relkind = 'i'
  and not x.indisvalid
  and not exists (
    select
    from pg_stat_progress_create_index p
    where p.datname = current_database() and p.relid = x.indrelid)
order by c.relname
)sql";

constexpr char kIsForAnother[] = "select $1::text ~ '(_ccnew|_ccold)[0-9]*$|_next$'";

constexpr char kStale[] = R"sql(
select s.relname
from pg_stat_user_tables s
where s.schemaname = $1::text
  and (s.n_mod_since_analyze > 50 + s.n_live_tup / 10
    or s.n_live_tup > 0 and s.last_analyze is null and s.last_autoanalyze is null)
order by s.relname
)sql";

std::vector<std::string> Names(Workshop& workshop, const char* query) {
  pqxx::nontransaction session(workshop.connection());
  std::vector<std::string> names;
  for (const pqxx::row& row : session.exec_params(query, workshop.schema())) {
    names.push_back(row[0].as<std::string>());
  }
  return names;
}

int64_t SizeOf(Workshop& workshop, const std::string& quoted) {
  return workshop
      .Run(absl::StrCat("select pg_relation_size(", workshop.connection().quote(quoted), ")"))[0][0]
      .as<int64_t>();
}

std::string Megabytes(int64_t bytes) {
  return absl::StrFormat("%.1f MB", static_cast<double>(bytes) / 1e6);
}

/// Makes an index anew beside readers and writers. When that fails nothing half made is left.
void Reindex(Workshop& workshop, const std::string& index) {
  try {
    workshop.Run("reindex index concurrently " + workshop.Quoted(index));
  } catch (const pqxx::sql_error&) {
    for (const std::string& left : InvalidIndexes(workshop)) {
      if (left.starts_with(index + "_cc")) {
        workshop.Run("drop index concurrently if exists " + workshop.Quoted(left));
      }
    }
    throw;
  }
}

}  // namespace

Workshop::Result RefreshView(Workshop& workshop, const std::string& view) {
  const std::string name = workshop.Quoted(view);
  const pqxx::result found = workshop.Run(
      absl::StrCat("select relispopulated from pg_class where relkind = 'm' and oid = to_regclass(",
                   workshop.connection().quote(name), ")"));
  if (found.empty()) {
    throw pqxx::undefined_table("there is no such materialized view: `twi-data optimize` makes it",
                                "", kUndefinedTable);
  }
  workshop.Run(absl::StrCat("refresh materialized view ",
                            found[0][0].as<bool>() ? "concurrently " : "", name));
  return {StepOutcome::kRefreshed, "", found[0][0].as<bool>()};
}

std::vector<std::string> InvalidIndexes(Workshop& workshop) { return Names(workshop, kInvalid); }

Workshop::Result Mend(Workshop& workshop, const std::string& index, bool dry) {
  bool for_another = false;
  {
    pqxx::nontransaction session(workshop.connection());
    for_another = session.exec_params(kIsForAnother, index)[0][0].as<bool>();
  }
  if (for_another) {
    if (!dry) workshop.Run("drop index concurrently if exists " + workshop.Quoted(index));
    return {StepOutcome::kDropped, "an interrupted run had left it"};
  }
  if (!dry) Reindex(workshop, index);
  return {StepOutcome::kRebuilt, "an interrupted run had left it invalid"};
}

std::vector<std::string> StaleTables(Workshop& workshop) { return Names(workshop, kStale); }

Workshop::Result Analyze(Workshop& workshop, const std::string& table, bool dry) {
  if (!dry) workshop.Run("analyze " + workshop.Quoted(table));
  return {StepOutcome::kAnalyzed, ""};
}

std::vector<IndexSize> IndexSizes(Workshop& workshop, const Optimization& function) {
  pqxx::work work(workshop.connection());
  workshop.Try(work, function);
  // It looks at the schema that comes first.
  work.exec("set local search_path = " + work.quote_name(workshop.schema()));
  std::vector<IndexSize> indexes;
  for (const pqxx::row& row :
       work.exec(absl::StrCat("select c.relname, b.bytes, b.expected_bytes, b.bloated from ",
                              Workshop::kBench, ".", kBloatFunction,
                              "() b join pg_class c on c.oid = b.index"
                              " order by b.bytes desc, c.relname"))) {
    indexes.push_back(
        {row[0].as<std::string>(), row[1].as<int64_t>(), row[2].as<int64_t>(), row[3].as<bool>()});
  }
  work.abort();
  return indexes;
}

Workshop::Result Rebuild(Workshop& workshop, const IndexSize& index, bool dry) {
  const std::string was = absl::StrCat(Megabytes(index.bytes), ", about ",
                                       Megabytes(index.expected_bytes), " if made now");
  if (!index.bloated) return {StepOutcome::kThere, was};
  if (dry) return {StepOutcome::kRebuilt, absl::StrCat("bloated: ", was)};
  Reindex(workshop, index.name);
  return {StepOutcome::kRebuilt,
          absl::StrCat(Megabytes(index.bytes), ", now ",
                       Megabytes(SizeOf(workshop, workshop.Quoted(index.name))))};
}

}  // namespace twi::sql

#include "sql/dictionary.h"

#include <pqxx/pqxx>

#include "absl/strings/str_cat.h"

namespace twi::sql {
namespace {

// Temporary tables of others go while they are read, as those of another server that starts.
constexpr char kColumns[] = R"sql(
select n.nspname, c.relname, pg_table_is_visible(c.oid), a.attname, a.attnotnull
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'pg_toast')
  and not pg_is_other_temp_schema(n.oid)
order by c.oid, a.attnum
)sql";

// The rows of tables that inherit have no part in a table's index.
constexpr char kKeys[] = R"sql(
select
  n.nspname, c.relname, pg_table_is_visible(c.oid), i.indexrelid,
  pg_get_indexdef(i.indexrelid, k, true)
from pg_index i
join pg_class c on c.oid = i.indrelid
join pg_namespace n on n.oid = c.relnamespace,
generate_series(1, i.indnkeyatts) k
where i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
  and not (c.relkind = 'r' and c.relhassubclass) and n.nspname not in ('pg_catalog', 'pg_toast')
  and not pg_is_other_temp_schema(n.oid)
order by i.indexrelid, k
)sql";

constexpr char kFunctions[] = R"sql(
select
  p.proname, bool_and(p.prokind = 'a'), bool_or(p.proretset), bool_or(p.provolatile = 'v'),
  bool_and(
    t.typtype not in ('c', 'p')
    and (select count(*) from unnest(p.proargmodes) mode where mode in ('o', 'b', 't')) < 2)
from pg_proc p
join pg_type t on t.oid = p.prorettype
group by p.proname
)sql";

/// The relation that a row of (schema, name, visible, …) is about, under each of its names.
template <typename Note>
void ForNames(const pqxx::row& row, Dictionary* dictionary, Note note) {
  const auto name = row[1].as<std::string>();
  note(dictionary->relations[absl::StrCat(row[0].as<std::string>(), ".", name)]);
  if (row[2].as<bool>()) note(dictionary->relations[name]);
}

}  // namespace

absl::StatusOr<Dictionary> ReadDictionary(const std::string& dsn, const std::string& before) {
  try {
    pqxx::connection connection(dsn);
    if (!before.empty()) pqxx::nontransaction(connection).exec(before);
    pqxx::read_transaction transaction(connection);
    Dictionary dictionary;
    for (const pqxx::row& row : transaction.exec(kColumns)) {
      ForNames(row, &dictionary, [&row](Dictionary::Relation& relation) {
        relation.columns.push_back(row[3].as<std::string>());
        if (row[4].as<bool>()) relation.not_null.insert(row[3].as<std::string>());
      });
    }
    std::string index;
    for (const pqxx::row& row : transaction.exec(kKeys)) {
      const bool begins = row[3].as<std::string>() != index;
      index = row[3].as<std::string>();
      ForNames(row, &dictionary, [&](Dictionary::Relation& relation) {
        if (begins) relation.keys.emplace_back();
        relation.keys.back().push_back(row[4].as<std::string>());
      });
    }
    for (const pqxx::row& row : transaction.exec(kFunctions)) {
      dictionary.functions[row[0].as<std::string>()] = {row[1].as<bool>(), row[2].as<bool>(),
                                                        row[3].as<bool>(), row[4].as<bool>()};
    }
    return dictionary;
  } catch (const std::exception& error) {
    return absl::UnavailableError(error.what());
  }
}

}  // namespace twi::sql

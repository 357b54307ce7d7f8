#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "sql/blocking.h"
#include "sql/optimization.h"
#include "sql/upkeep.h"

namespace twi::sql {

/// Where steps of upkeep are made: a connection to the database, whose current schema they are for.
///
/// A step is tried first in a schema of its own, in a transaction that is rolled back, beside an
/// empty copy of its table: what the database makes of it there is compared with what is there.
///
/// Functions throw what libpqxx throws.
class Workshop {
 public:
  static constexpr char kBench[] = "twi_data_optimize";

  struct Result {
    StepOutcome outcome;
    std::string detail;
    bool concurrently = false;  ///< Of a view.
  };

  explicit Workshop(const std::string& dsn);

  BlockingConnection& connection() { return connection_; }
  /// The name of the schema.
  const std::string& schema() const { return schema_; }

  /// Reads the schema as it is now: steps are compared with that.
  void Survey();
  /// Brings the schema to what the step says.
  Result Apply(const Optimization& step);
  /// Lets an index of recent rows begin later when it holds a quarter more days than it should.
  /// `dry`: only tells whether it would.
  Result Roll(const Optimization& step, bool dry = false);
  /// Makes the step's objects in the schema kBench, which is first in the path then. The
  /// transaction is to be rolled back.
  void Try(pqxx::work& work, const Optimization& step);
  /// Runs one statement outside of a transaction.
  pqxx::result Run(const std::string& statement);
  /// The name within the schema, quoted.
  std::string Quoted(const std::string& name);

 private:
  Result ApplyIndex(const Optimization& step);
  Result ApplyView(const Optimization& step);
  Result ApplyFunction(const Optimization& step);
  Result ApplySettings(const Optimization& step);

  /// How the schema has the object of this title, or "".
  std::string Has(const std::string& title) const;
  bool HasAll(const std::vector<SchemaObject>& objects) const;
  /// Makes the index beside readers and writers, and then drops one of its name that is there.
  void Build(const Optimization& step, bool replace);
  /// Where the index of recent rows would begin if it were made now.
  std::string CutoffOf(const Optimization& step);
  /// Brings to its end what a Build that was interrupted had begun: true when it only had to be
  /// renamed; what is not whole is dropped.
  bool Finish(const Optimization& step);

  BlockingConnection connection_;
  std::string schema_;
  std::map<std::string, std::string> definitions_;  ///< By SchemaObject::Title.
};

/// The index that does what `index` would do for its table, or "": one with these columns first, in
/// whatever direction, of the same rows. Both are names as `regclass` reads them.
std::string IndexThatServes(pqxx::transaction_base& transaction, const std::string& index,
                            const std::string& table);

/// Adds to `expected` what `optimize` makes of things that are `live`: they may be there or not,
/// but not be otherwise. They are made in `schema`, which is first in the path and has the tables
/// of `live_schema`; the transaction is to be rolled back.
void ExpectOptimized(pqxx::work& work, const std::string& schema, const std::string& live_schema,
                     const std::vector<SchemaObject>& live, std::vector<SchemaObject>* expected);

/// Drops all materialized views that `optimize` makes; true when there was one.
bool DropViews(pqxx::work& work);

}  // namespace twi::sql

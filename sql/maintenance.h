#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sql/optimization.h"
#include "sql/workshop.h"

namespace twi::sql {

// What keeps tables, views and indexes of a workshop's schema in order. Nothing here blocks who
// writes to a table. Functions throw what libpqxx throws.

/// Computes a materialized view anew, beside its readers.
Workshop::Result RefreshView(Workshop& workshop, const std::string& view);

/// Indexes that an interrupted run left unusable, and that nobody is making now.
std::vector<std::string> InvalidIndexes(Workshop& workshop);
/// Makes such an index anew, or drops it when it was to replace another one.
Workshop::Result Mend(Workshop& workshop, const std::string& index);

/// Tables and views of which a tenth and more has changed since they were analyzed.
std::vector<std::string> StaleTables(Workshop& workshop);
Workshop::Result Analyze(Workshop& workshop, const std::string& table);

struct BloatedIndex {
  std::string name;
  int64_t bytes = 0;
};

/// The name of the function that estimates bloat.
inline constexpr char kBloatFunction[] = "index_bloat";

/// The bloated indexes, largest first, by the function that the step makes; the schema need not
/// have it.
std::vector<BloatedIndex> BloatedIndexes(Workshop& workshop, const Optimization& function);
Workshop::Result Rebuild(Workshop& workshop, const BloatedIndex& index);

}  // namespace twi::sql

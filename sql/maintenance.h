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
/// Makes such an index anew, or drops it when it was to replace another one. `dry`: only tells
/// which.
Workshop::Result Mend(Workshop& workshop, const std::string& index, bool dry = false);

/// Tables and views of which a tenth and more has changed since they were analyzed.
std::vector<std::string> StaleTables(Workshop& workshop);
Workshop::Result Analyze(Workshop& workshop, const std::string& table, bool dry = false);

struct IndexSize {
  std::string name;
  int64_t bytes = 0;
  int64_t expected_bytes = 0;  ///< If it were made now.
  bool bloated = false;
};

/// The name of the function that estimates bloat.
inline constexpr char kBloatFunction[] = "index_bloat";

/// All indexes whose bloat can be told, largest first, by the function that the step makes; the
/// schema need not have it.
std::vector<IndexSize> IndexSizes(Workshop& workshop, const Optimization& function);
/// Makes it anew if it is bloated. `dry`: only tells whether it is.
Workshop::Result Rebuild(Workshop& workshop, const IndexSize& index, bool dry = false);

}  // namespace twi::sql

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "sql/embedded_text.h"

namespace twi::sql {

/// One step of a set of optimizations, read from `base.sql` or `additional.sql`: what follows a
/// line `-- step: NAME`. PostgreSQL's own parser says what it is.
struct Optimization {
  enum class Kind {
    kIndex,     ///< One `create index`.
    kView,      ///< A `create materialized view … with no data`, and indexes of it.
    kFunction,  ///< `create function`.
    kSettings,  ///< `alter table … set (…)`.
  };

  std::string name;  ///< The index's, view's or function's; settings may have any.
  Kind kind = Kind::kIndex;
  std::string table = {};  ///< What an index or settings belong to; else "".
  std::string text = {};
  /// By the line `-- recent: N days`: the index has the rows of the last N days only, those from
  /// `:cutoff` on; 0 otherwise.
  int recent_days = 0;
};

/// The steps of a text. INTERNAL when it holds anything else.
absl::StatusOr<std::vector<Optimization>> ReadOptimizations(const EmbeddedText& text);

/// The step's text with `cutoff` (`2026-10-27 00:00:00`) for `:cutoff`.
std::string WithCutoff(const Optimization& step, std::string_view cutoff);

/// The same of an index, to be made under the name `name` beside readers and writers.
std::string Concurrently(const Optimization& step, std::string_view name, std::string_view cutoff);

}  // namespace twi::sql

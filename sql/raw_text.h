#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "sql/analysis.h"
#include "sql/dictionary.h"
#include "sql/statement.h"

namespace twi::sql {

/// A caller's own text of one statement or several.
struct RawText {
  Statement statement;  ///< What to run, if the text is one.
  Analysis analysis;
};

/// Callers' own texts, each looked at once. One that comes again and again gets a name, and so is
/// prepared once a connection: these stay for good, so there is a limit to them. Thread-safe.
class RawTexts {
 public:
  struct Options {
    size_t kept = 2000;  ///< Texts that are remembered; those used least recently are forgotten.
    size_t named = 1000;
    int uses_of_named = 3;
  };

  RawTexts(const Options& options, Dictionary dictionary);

  using Text = std::shared_ptr<const RawText>;

  /// INVALID_ARGUMENT (SQL_INVALID) when it is not SQL, or no statement.
  absl::StatusOr<Text> Find(std::string_view text, std::vector<Oid> types = {});
  /// The same text with a name, whatever its uses; RESOURCE_EXHAUSTED when there are too many.
  absl::StatusOr<Text> Name(const Text& text);

 private:
  using Key = std::pair<std::string, std::vector<Oid>>;
  struct Kept {
    Text text;
    int uses = 0;
    std::list<Key>::iterator place;
  };

  /// Whether it changes and locks nothing, and no function that it calls may.
  bool ReadsOnly(const Analysis& analysis) const;
  Text Named(const RawText& text);

  const Options options_;
  const Dictionary dictionary_;

  std::mutex mutex_;
  /// All guarded by mutex_. Used most recently first.
  std::list<Key> order_;
  absl::flat_hash_map<Key, Kept> kept_;
  absl::flat_hash_map<Key, Text> named_;
};

/// A statement of a script.
struct ScriptStatement {
  std::string text;
  int line = 1;  ///< Of its first word, from 1.
};

/// The statements of a text of any length, in order; those that are empty are left out.
/// INVALID_ARGUMENT (SQL_INVALID) when it cannot be told where they end.
absl::StatusOr<std::vector<ScriptStatement>> SplitScript(std::string_view text);

}  // namespace twi::sql

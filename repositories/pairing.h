#pragma once

#include <string>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "repositories/repository.h"
#include "sql/analysis.h"
#include "sql/statement.h"

namespace twi::repositories {

/// A pair of RPC and stanza on its way to an operation. It points into its repository.
struct Pair {
  const Repository* repository;
  const Stanza* stanza;
  const google::protobuf::MethodDescriptor* method;
  std::string text;  ///< Its parts in it, its fields still named.
  sql::BoundText first;
  sql::BoundText next;  ///< Of pages only.
  sql::Analysis analysis;
  bool has_parts = false;

  bool page() const { return !stanza->page.empty(); }
  bool reads() const;
  /// It reads `:requests`, which is no field of the request.
  bool set() const;
  /// Says what is wrong with it; a page's two statements have much in common, which is said once.
  void Report(const std::string& message, std::vector<Problem>* problems) const;
};

/// Every RPC of the services that is not written by hand, with the stanza of its name from the file
/// of its service's: `quotes.sql` for `quotes.proto`. What does not pair, or is wrong by its form,
/// is among `problems`; no database is asked.
std::vector<Pair> PairAll(const std::vector<const google::protobuf::ServiceDescriptor*>& services,
                          const std::vector<Repository>& repositories,
                          std::vector<Problem>* problems);

}  // namespace twi::repositories

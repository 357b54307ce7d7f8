#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "sql/errors.h"

namespace twi::sql {

/// A COPY whose data go by way of the client.
struct CopyStatement {
  std::string text;
  bool in = false;      ///< FROM STDIN, not TO STDOUT.
  std::string table;    ///< Without its schema; "" for a query.
  bool writes = false;  ///< Rows go into the table, or its query changes some.
};

/// Reads one. INVALID_ARGUMENT when it is not SQL, or anything else than one such COPY: those of
/// files and programs are among what is refused.
absl::StatusOr<CopyStatement> ReadCopy(std::string_view text);

/// Adds to an error of a COPY into the table in which line it is, and in which column if it is in
/// one: by the database's `context`, in whatever language that is. Nothing else is taken from it,
/// as it quotes values.
void Locate(std::string_view context, std::string_view table, DatabaseError* error);

}  // namespace twi::sql

#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "sql/parameters.h"
#include "sql/rows.h"
#include "twi/data/v1/value.pb.h"

namespace twi::repositories {

// Values of raw SQL: PostgreSQL's text format on one side, twi.data.v1.Value on the other. Every
// type has a text, written and read by the database's own functions; so this knows no more than how
// kinds and arrays are spelt.

/// What a type is, as far as its values are concerned.
struct TypeInfo {
  std::string name;      ///< `bigint`, `text[]`, `public.mood`.
  sql::Oid element = 0;  ///< Of an array.
  std::string element_name = {};
};

/// Binds one value, whatever type its placeholder has. INVALID_ARGUMENT (TEXT_CONTAINS_NUL,
/// FIELD_INVALID) that names `field`, the value's path.
absl::Status BindValue(const data::v1::Value& value, const std::string& field,
                       sql::Parameters* out);

/// The type that a placeholder has for the value when the database infers none. 0, which leaves it
/// to the database, for NULL and other types.
sql::Oid TypeOf(const data::v1::Value& value);

/// Reads the text of a value that is not NULL. `type` is the number of `info`.
void ReadValue(sql::Oid type, const TypeInfo& info, std::string_view text, data::v1::Value* value);

/// One row of COPY's text format, with the line feed at its end. As BindValue.
absl::Status AppendCopyRow(const data::v1::Row& row, const std::string& field, std::string* out);

}  // namespace twi::repositories

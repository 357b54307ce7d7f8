#pragma once

#include <string>
#include <string_view>

#include "google/protobuf/descriptor.h"
#include "sql/rows.h"

namespace twi::repositories {

// Numbers of built-in types in pg_type; they are the same in every database.
inline constexpr sql::Oid kBool = 16;
inline constexpr sql::Oid kBytea = 17;
inline constexpr sql::Oid kName = 19;
inline constexpr sql::Oid kInt8 = 20;
inline constexpr sql::Oid kInt2 = 21;
inline constexpr sql::Oid kInt4 = 23;
inline constexpr sql::Oid kText = 25;
inline constexpr sql::Oid kJson = 114;
inline constexpr sql::Oid kFloat4 = 700;
inline constexpr sql::Oid kFloat8 = 701;
inline constexpr sql::Oid kBpchar = 1042;
inline constexpr sql::Oid kVarchar = 1043;
inline constexpr sql::Oid kDate = 1082;
inline constexpr sql::Oid kTimestamp = 1114;
inline constexpr sql::Oid kTimestamptz = 1184;
inline constexpr sql::Oid kInterval = 1186;
inline constexpr sql::Oid kNumeric = 1700;
inline constexpr sql::Oid kUuid = 2950;
inline constexpr sql::Oid kJsonb = 3802;

/// The element's type of an array type, 0 for any other type.
sql::Oid ElementType(sql::Oid type);
/// The array type of an element's type, 0 for what this file does not know.
sql::Oid ArrayType(sql::Oid element);

/// Whether the database, given any bytes that IsWhole, takes them as a value of the type or refuses
/// them as one. Of other types, and when they are not whole, it may say that the protocol is
/// broken.
bool CanBeWhole(sql::Oid type);
/// Whether `bytes` have the length that a value of the type has in binary form.
bool IsWhole(sql::Oid type, std::string_view bytes);

/// `bigint`, `text[]`; `type 16390` for what this file does not know.
std::string TypeName(sql::Oid type);

bool IsInteger(sql::Oid type);
/// text and what has its binary form: varchar, char(n), name.
bool IsText(sql::Oid type);
/// json or jsonb.
bool IsJson(sql::Oid type);

/// A field's type as its .proto says it: `int64`, `repeated twi.data.v1.Quote`.
std::string FieldTypeName(const google::protobuf::FieldDescriptor& field);

/// The type that a stanza casts to for `field`: `bigint`, `text[]`, `jsonb`.
std::string NaturalType(const google::protobuf::FieldDescriptor& field);

}  // namespace twi::repositories

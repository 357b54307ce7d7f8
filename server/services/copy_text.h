#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "google/protobuf/repeated_field.h"
#include "server/call.h"
#include "server/slow_queries.h"
#include "sql/copy.h"
#include "twi/data/v1/database.pb.h"

namespace twi::server {

using ColumnNames = google::protobuf::RepeatedPtrField<std::string>;

/// `copy quotes ("quote") from stdin with (format text)`. The table is the caller's own SQL.
std::string CopyInText(const std::string& table, const ColumnNames& columns,
                       data::v1::CopyFormat format);
std::string CopyOutText(const data::v1::CopyOutRequest& request);

/// Appends rows in text format, and adds their number to `count`. INVALID_ARGUMENT, with the fact
/// `row`, when that is not the copy's format or a value has no text.
absl::Status AppendRows(const google::protobuf::RepeatedPtrField<data::v1::Row>& rows,
                        data::v1::CopyFormat format, int64_t* count, std::string* out);

/// Tells metrics and log of a copy that is over.
void RecordCopy(const Call& call, const sql::CopyOutcome& outcome, sql::Clock::time_point begun,
                SlowQueries* slow);

}  // namespace twi::server

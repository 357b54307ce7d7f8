#pragma once

#include <string>
#include <string_view>

namespace twi::sql {

/// The schema of a database in which the service keeps what is its own.
inline constexpr char kOwnSchema[] = "twi_data";

/// `select` with one more column, a number that changes with the schema and with what is followed
/// of it. Vacuum and statistics do not change it.
std::string SchemaProbe(std::string_view select);

/// The statements that make the event triggers by which changes of the schema are told in their
/// place, to all who follow: in the log, and in the outbox if there is one. For a superuser.
std::string SchemaTriggers();

}  // namespace twi::sql

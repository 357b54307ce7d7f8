#pragma once

#include <string>

namespace twi::sql {

/// A script that makes temporary tables in place of the materialized views that `optimize` has not
/// made, so that statements which read them can be looked at. They are the connection's own and
/// empty, and have the columns and keys of the views.
std::string StandIns();

}  // namespace twi::sql

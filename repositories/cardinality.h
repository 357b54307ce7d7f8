#pragma once

#include <string>
#include <vector>

#include "repositories/repository.h"
#include "repositories/rows.h"
#include "sql/analysis.h"
#include "sql/proof.h"

namespace twi::repositories {

/// Appends a sentence that says what to change when a statement whose response means one row is not
/// shown to give no more: a set, for each call.
void CheckOneRow(const Stanza& stanza, const sql::Proof& proof, const sql::Analysis& analysis,
                 RowPlan::Shape shape, const std::vector<sql::Column>& columns, bool set,
                 std::vector<std::string>* problems);

/// The result columns of a page's keys, and sentences about keys that rows could be lost or
/// repeated by: which are not selected, may be NULL, are not unique together, are of a type that
/// no token carries, or are not what the rows are ordered by.
std::vector<int> FindPageKeys(const Stanza& stanza, const sql::Proof& proof,
                              const std::vector<sql::Column>& columns,
                              std::vector<std::string>* problems);

/// Appends sentences about keys that are compared as another type than they are selected as.
/// `names` and `types` are the placeholders of the statement for the next pages.
void CheckKeyTypes(const Stanza& stanza, const std::vector<int>& keys,
                   const std::vector<sql::Column>& columns, const std::vector<std::string>& names,
                   const std::vector<sql::Oid>& types, std::vector<std::string>* problems);

}  // namespace twi::repositories

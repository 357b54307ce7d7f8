#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "sql/rows.h"
#include "sql/statement.h"

namespace twi::repositories {

/// What a client stream has come to.
struct Tally {
  int64_t requests = 0;       ///< Those whose statements have run.
  std::vector<int64_t> sums;  ///< In the order of the response's fields.
};

/// How the rows of a client stream's chunks add up to its response: made once, when the catalog is
/// loaded.
class TallyPlan {
 public:
  /// Pairs each field of `response`, all int64, with the bigint column of its name. Problems are
  /// appended as sentences that say what to change.
  static TallyPlan Make(const google::protobuf::Descriptor* response,
                        const std::vector<sql::Column>& columns,
                        std::vector<std::string>* problems);

  const std::vector<sql::Column>& columns() const { return columns_; }

  /// Adds each column over all rows; NULL adds nothing. REQUIRES: Fits(rows, columns()).
  void Add(const sql::Rows& rows, Tally* tally) const;

  /// Appends the response.
  void Encode(const Tally& tally, std::string* response) const;

 private:
  std::vector<sql::Column> columns_;
  /// Columns and the fields that their sums fill.
  std::vector<std::pair<int, const google::protobuf::FieldDescriptor*>> sums_;
};

}  // namespace twi::repositories

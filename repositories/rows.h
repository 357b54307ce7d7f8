#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/descriptor.h"
#include "repositories/cell.h"
#include "sql/rows.h"
#include "sql/statement.h"

namespace twi::repositories {

/// Whether `rows` still has the columns and types that a plan was made for; rows of a statement for
/// several callers have kCallColumn behind them.
bool Fits(const sql::Rows& rows, const std::vector<sql::Column>& columns);

/// How rows become the bytes of a response, in one pass from Postgres's binary format to protobuf's
/// wire format: made once, when the catalog is loaded.
class RowPlan {
 public:
  /// What a response's shape says of the rows.
  enum class Shape {
    kElements,  ///< One repeated field: every row is an element.
    kResource,  ///< One message field without a column of its name: one row is the resource.
    kRecord,    ///< Fields filled by columns of their names: one row.
    kNothing,   ///< No fields: at most one row, ignored.
  };

  /// Chooses the shape and pairs columns with fields. `fieldless` are columns that need no field.
  /// Problems and warnings are appended as sentences that say what to change; with any problem, the
  /// plan encodes nothing. A field without presence that is filled from a column which may be NULL
  /// is a warning; of expressions the database does not say whether they may.
  static RowPlan Make(const google::protobuf::Descriptor* response,
                      const std::vector<sql::Column>& columns,
                      const std::vector<std::string>& fieldless, std::vector<std::string>* problems,
                      std::vector<std::string>* warnings);

  Shape shape() const { return shape_; }

  const std::vector<sql::Column>& columns() const { return columns_; }

  /// Appends the response for rows [0, count) to `out`. For kResource and kRecord `count` is 1.
  /// DATA_LOSS (VALUE_UNREPRESENTABLE, fact `column`) for values that the response cannot tell:
  /// NULL array elements, infinite times, unknown enum names, json of another shape, two members of
  /// a oneof. REQUIRES: Fits(rows, columns()).
  absl::Status Encode(const sql::Rows& rows, int count, std::string* out) const;

 private:
  absl::Status EncodeMessage(const sql::Rows& rows, int row, const std::vector<Cell>& cells,
                             std::string* out) const;
  absl::Status EncodeScalars(const sql::Rows& rows, int count, std::string* out) const;

  Shape shape_ = Shape::kNothing;
  std::vector<sql::Column> columns_;
  /// The repeated field (kElements) or the resource (kResource).
  const google::protobuf::FieldDescriptor* outer_ = nullptr;
  /// Columns of the element or resource. Elements that are no messages of ours have one cell, which
  /// fills `outer_` itself.
  std::vector<Cell> inner_cells_;
  /// Columns of the response itself.
  std::vector<Cell> outer_cells_;
};

}  // namespace twi::repositories

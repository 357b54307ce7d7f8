#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "repositories/field_path.h"
#include "repositories/violations.h"
#include "sql/parameters.h"
#include "sql/statement.h"

namespace twi::repositories {

/// What a page binds beside the request's fields.
struct PageArguments {
  int64_t size_plus_one =
      0;  ///< `:page.size`: one row more than the page, which tells of a next one.
  /// `:page.after_<n>`: the key of the last row before the page, in binary format; empty on the
  /// first.
  std::vector<std::string> after;
};

/// How a request's fields become a statement's parameters: made once, when the catalog is loaded.
class ParameterPlan {
 public:
  /// Pairs each placeholder name (`serial_id`, `message.content`, `update_mask`, `page.size`,
  /// `page.after_0`) with a field of `request` and checks that its type can be bound as the type
  /// that Postgres expects. Problems are appended to `problems` as sentences that say what to
  /// change; with any, the plan binds nothing.
  static ParameterPlan Make(const google::protobuf::Descriptor* request,
                            const std::vector<std::string>& names,
                            const std::vector<sql::Oid>& types, std::vector<std::string>* problems);

  /// Top-level fields of the request that no placeholder uses.
  std::vector<std::string> UnusedFields(const google::protobuf::Descriptor* request) const;

  /// Encodes `request`, a generated message of the descriptor's type, in placeholder order. A field
  /// that is not set binds as its default value, or as NULL when it has presence or lies in a
  /// message that is not set; an enum's UNSPECIFIED as NULL where text is expected.
  /// INVALID_ARGUMENT (FIELD_INVALID, TEXT_CONTAINS_NUL, VALUE_INVALID) with a
  /// google.rpc.BadRequest that names the field.
  absl::Status Bind(const google::protobuf::Message& request, const PageArguments* page,
                    sql::Parameters* out) const;

  /// What Bind gives the placeholder of that number, from 1, as PostgreSQL prints it: a whole
  /// number, or else a text. Nothing for NULL and for what is neither.
  std::optional<std::string> Text(const google::protobuf::Message& request, int placeholder,
                                  bool number) const;

 private:
  enum class Source { kField, kPageSize, kPageAfter };

  struct Parameter {
    Source source = Source::kField;
    int key = 0;  ///< kPageAfter: which of the page's keys.
    /// kField: from the request down to the field.
    FieldPath path;
    sql::Oid type = 0;  ///< What Postgres expects: the element's type for an array.
    bool array = false;
    /// An `update_mask`: fields that it could name and that the statement does not take.
    std::vector<std::string_view> left;
  };
  /// Whether a placeholder is the field, lies below it, or is the message that it lies in.
  bool Takes(const google::protobuf::FieldDescriptor* field) const;
  /// Appends one value to `out`; false when it has no form in the database.
  static bool BindField(const google::protobuf::Message& request, const Parameter& parameter,
                        sql::Parameters* out, Violation* violation);

  std::vector<Parameter> parameters_;
};

}  // namespace twi::repositories

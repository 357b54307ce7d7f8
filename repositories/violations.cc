#include "repositories/violations.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "sql/errors.h"
#include "sql/text.h"

namespace twi::repositories {
namespace {

constexpr std::string_view kBadRequestUrl = "type.googleapis.com/google.rpc.BadRequest";

// Keys of a Struct, which are the caller's own, make paths of any length.
constexpr size_t kLongestField = 200;

}  // namespace

void Violation::Prepend(std::string_view name, int index) {
  const char* dot = field.empty() || field.starts_with('[') ? "" : ".";
  field = index < 0 ? absl::StrCat(ToAbsl(name), dot, field)
                    : absl::StrCat(ToAbsl(name), "[", index, "]", dot, field);
}

absl::Status Violation::ToStatus() const {
  Violations violations;
  violations.Add(field, description);
  return violations.ToStatus(reason);
}

void Violations::Add(std::string_view field, std::string_view description) {
  if (full()) {
    ++more_;
    return;
  }
  google::rpc::BadRequest::FieldViolation violation;
  violation.set_field(std::string(Shortened(field, kLongestField)));
  violation.set_description(std::string(description));
  bytes_ += violation.ByteSizeLong() + 3;  // Its tag and length.
  if (bytes_ > kMostBytes) {
    ++more_;
    return;
  }
  *request_.add_field_violations() = std::move(violation);
}

absl::Status Violations::ToStatus(std::string_view reason) const {
  if (empty()) return absl::OkStatus();
  const auto& first = request_.field_violations(0);
  std::string message = absl::StrCat(first.field(), " ", first.description());
  const int others = request_.field_violations_size() - 1 + more_;
  if (others > 0) absl::StrAppend(&message, " (and ", others, " more)");

  google::rpc::BadRequest told = request_;
  if (more_ > 0) {
    told.add_field_violations()->set_description(
        absl::StrCat(more_, " more violations are not listed"));
  }
  absl::Status status = sql::Error(absl::StatusCode::kInvalidArgument, reason, message);
  status.SetPayload(ToAbsl(kBadRequestUrl), absl::Cord(told.SerializeAsString()));
  return status;
}

}  // namespace twi::repositories

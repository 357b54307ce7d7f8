#include "server/services/raw_question.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "repositories/value_text.h"
#include "sql/side_inputs.h"

namespace twi::server {
namespace {

// The seed's.
constexpr absl::Duration kKept = absl::Minutes(5);

}  // namespace

RawParameters::RawParameters(std::string_view shape, const RawSession::Values& values)
    : bytes(shape) {
  for (const data::v1::Value& value : values) {
    // What each is comes with its length, so that no two lists look the same.
    const std::string of_it = value.SerializeAsString();
    absl::StrAppend(&bytes, " ", of_it.size(), ":", of_it);
    const absl::Status status = repositories::BindValue(value, "", &bound);
    // Whoever runs it will say what is wrong.
    if (!status.ok()) refusal = "a parameter is no value";
    if (!status.ok()) return;
    if (sql::NamesMovingTime(bound.value(bound.size() - 1))) {
      refusal = "a parameter names a time that moves";
    }
  }
}

RawQuestion::RawQuestion(const sql::RawText& text, std::string_view shape,
                         const RawSession::Values& values, bool may_join)
    : RawParameters(shape, values),
      Question(text.statement, bytes, kKept),
      text_(text),
      may_join_(may_join) {}

std::string RawQuestion::Refusal() const {
  if (!text_.statement.read_only) return "it may change something, or is volatile";
  if (text_.statement.name.empty()) return "its text has not come often enough";
  return refusal;
}

std::optional<std::string> RawQuestion::TextOf(int placeholder, bool number) const {
  if (placeholder > bound.size() || bound.is_null(placeholder - 1)) return std::nullopt;
  std::string text(bound.value(placeholder - 1));
  if (!number) return text;
  // PostgreSQL takes more than it prints: signs, zeros, spaces.
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) return std::nullopt;
  return absl::StrCat(value);
}

}  // namespace twi::server

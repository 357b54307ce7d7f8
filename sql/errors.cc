#include "sql/errors.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "sql/text.h"

namespace twi::sql {
namespace {

using absl::StatusCode;

constexpr std::string_view kReasonUrl = "data.twi/reason";
constexpr std::string_view kFactUrl = "data.twi/fact/";
constexpr std::string_view kRetryDelayUrl = "data.twi/retry_delay_ms";

// A queue is never empty sooner, and its pace never holds for longer.
constexpr std::chrono::milliseconds kLeastDelay{100};
constexpr std::chrono::milliseconds kMostDelay{5000};

struct Rule {
  std::string_view sqlstate;  ///< Five characters, or the two of a class.
  StatusCode code;
  std::string_view reason;
  Retry retry;
  std::string_view message;
};

// The one table from SQLSTATE to what callers are told. The first row that is a prefix of the state
// counts, so single states stand before their class.
constexpr Rule kRules[] = {
    {"23505", StatusCode::kAlreadyExists, "ROW_EXISTS", Retry::kNever,
     "a row with this key exists"},
    {"23503", StatusCode::kFailedPrecondition, "FOREIGN_KEY_MISSING", Retry::kNever,
     "a row that is referred to is missing, or this row is still referred to"},
    {"23502", StatusCode::kInvalidArgument, "VALUE_INVALID", Retry::kNever, "a value is missing"},
    {"23", StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATED", Retry::kNever,
     "a rule of the table refuses the row"},
    {"22", StatusCode::kInvalidArgument, "VALUE_INVALID", Retry::kNever,
     "a value is out of range or malformed"},
    {"40001", StatusCode::kAborted, "SERIALIZATION_FAILURE", Retry::kStatement,
     "concurrent changes; try again"},
    {"40P01", StatusCode::kAborted, "DEADLOCK", Retry::kStatement,
     "transactions waited for each other; try again"},
    {"40003", StatusCode::kUnknown, "OUTCOME_UNKNOWN", Retry::kNever,
     "the write may have been done or not"},
    {"40", StatusCode::kAborted, "SERIALIZATION_FAILURE", Retry::kStatement,
     "concurrent changes; try again"},
    {"55P03", StatusCode::kAborted, "SERIALIZATION_FAILURE", Retry::kStatement,
     "a row is locked by another transaction; try again"},
    {"55000", StatusCode::kFailedPrecondition, "NOT_COMPUTED", Retry::kNever,
     "a view or a value that is asked for has not been computed yet"},
    {"57014", StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED", Retry::kNever,
     "the statement took too long"},
    {"57P", StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", Retry::kNever,
     "the database is not available"},
    {"08", StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", Retry::kNever,
     "the database is not available"},
    {"53", StatusCode::kResourceExhausted, "DATABASE_EXHAUSTED", Retry::kNever,
     "the database has no connection, memory or disk left"},
    {"54", StatusCode::kInvalidArgument, "VALUE_INVALID", Retry::kNever,
     "the request is too complex for the database"},
    {"25006", StatusCode::kFailedPrecondition, "READ_ONLY", Retry::kNever,
     "the database is read only"},
    {"25P02", StatusCode::kAborted, "SERIALIZATION_FAILURE", Retry::kNever,
     "the transaction had failed before; try again"},
    {"25P03", StatusCode::kAborted, "TRANSACTION_IDLE", Retry::kNever,
     "the transaction was idle for too long and was rolled back; try again"},
    {"42501", StatusCode::kPermissionDenied, "PERMISSION_DENIED", Retry::kNever,
     "the database refuses this to the server's role"},
    {"28", StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", Retry::kNever,
     "the database refuses the server's role"},
    {"3D", StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", Retry::kNever,
     "the database does not exist"},
    // Undefined tables, columns and functions, changed result types.
    {"42", StatusCode::kFailedPrecondition, "SCHEMA_MISMATCH", Retry::kNever,
     "the schema is not the one that the server was built for"},
    {"0A000", StatusCode::kFailedPrecondition, "SCHEMA_MISMATCH", Retry::kNever,
     "the schema is not the one that the server was built for"},
    {"26", StatusCode::kFailedPrecondition, "SCHEMA_MISMATCH", Retry::kStatement,
     "a prepared statement is gone"},
    {"P0001", StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATED", Retry::kNever,
     "a rule of the database refuses this"},
    // Every other state.
    {"", StatusCode::kInternal, "INTERNAL", Retry::kNever, "the database failed"},
};

// What the caller of a text of his own is told instead, in the database's words: these states are
// about the text, and speak of names and syntax, not of what rows hold.
constexpr Rule kRawRules[] = {
    // As many parameters as placeholders.
    {"08P01", StatusCode::kInvalidArgument, "VALUE_INVALID", Retry::kNever, ""},
    {"42501", StatusCode::kPermissionDenied, "PERMISSION_DENIED", Retry::kNever, ""},
    {"42", StatusCode::kInvalidArgument, "SQL_INVALID", Retry::kNever, ""},
    {"0A000", StatusCode::kInvalidArgument, "SQL_INVALID", Retry::kNever, ""},
    {"25001", StatusCode::kInvalidArgument, "SQL_INVALID", Retry::kNever, ""},
    {"25006", StatusCode::kFailedPrecondition, "READ_ONLY", Retry::kNever, ""},
    {"25P02", StatusCode::kFailedPrecondition, "TRANSACTION_FAILED", Retry::kNever, ""},
    {"26", StatusCode::kInvalidArgument, "SQL_INVALID", Retry::kNever, ""},
    {"3B001", StatusCode::kInvalidArgument, "SQL_INVALID", Retry::kNever, ""},
    {"3F000", StatusCode::kInvalidArgument, "SQL_INVALID", Retry::kNever, ""},
    {"P0001", StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATED", Retry::kNever, ""},
};

// No state at all.
constexpr Rule kBroken = {"", StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", Retry::kNever,
                          "the connection to the database broke"};

const Rule& RuleOf(std::string_view sqlstate) {
  if (sqlstate.empty()) return kBroken;
  return *std::ranges::find_if(
      kRules, [&](const Rule& rule) { return sqlstate.starts_with(rule.sqlstate); });
}

}  // namespace

absl::Status Error(absl::StatusCode code, std::string_view reason, std::string_view message,
                   const std::vector<std::pair<std::string_view, std::string>>& facts) {
  absl::Status status(code, ToAbsl(message));
  status.SetPayload(ToAbsl(kReasonUrl), absl::Cord(ToAbsl(reason)));
  for (const auto& [name, value] : facts) AddFact(&status, name, value);
  return status;
}

void AddFact(absl::Status* status, std::string_view name, std::string value) {
  status->SetPayload(std::string(kFactUrl).append(name), absl::Cord(std::move(value)));
}

absl::Status TooLate() {
  return Error(StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED",
               "the deadline passed before the answer was there");
}

absl::Status GaveUp() { return Error(StatusCode::kCancelled, "CANCELLED", "the caller gave up"); }

absl::Status DatabaseUnavailable() {
  return Error(StatusCode::kUnavailable, "DATABASE_UNAVAILABLE", "the database is not available");
}

absl::Status ShuttingDown() {
  return Error(StatusCode::kUnavailable, "SHUTTING_DOWN", "the server is shutting down");
}

absl::Status OutcomeUnknown() {
  return Error(StatusCode::kUnknown, "OUTCOME_UNKNOWN",
               "the connection to the database broke after the write was sent; it may have been "
               "done");
}

absl::Status TooManyWait(std::chrono::nanoseconds wait) {
  absl::Status status = Error(StatusCode::kResourceExhausted, "OVERLOADED",
                              "too many calls are waiting for the database");
  SetRetryDelay(&status, std::clamp(std::chrono::ceil<std::chrono::milliseconds>(wait), kLeastDelay,
                                    kMostDelay));
  return status;
}

absl::Status ResultTooLarge() {
  return Error(StatusCode::kResourceExhausted, "RESULT_TOO_LARGE",
               "the answer is larger than one message may be; StreamFetch gives it in pages");
}

std::string Reason(const absl::Status& status) {
  auto payload = status.GetPayload(ToAbsl(kReasonUrl));
  return payload ? std::string(*payload) : "";
}

void SetRetryDelay(absl::Status* status, std::chrono::milliseconds delay) {
  status->SetPayload(ToAbsl(kRetryDelayUrl), absl::Cord(absl::StrCat(delay.count())));
}

std::optional<std::chrono::milliseconds> RetryDelay(const absl::Status& status) {
  const auto payload = status.GetPayload(ToAbsl(kRetryDelayUrl));
  int64_t delay = 0;
  if (!payload || !absl::SimpleAtoi(std::string(*payload), &delay)) return std::nullopt;
  return std::chrono::milliseconds(delay);
}

std::vector<std::pair<std::string, std::string>> Facts(const absl::Status& status) {
  std::vector<std::pair<std::string, std::string>> facts;
  status.ForEachPayload([&facts](absl::string_view url, const absl::Cord& payload) {
    const std::string_view name = ToStd(url);
    if (!name.starts_with(kFactUrl)) return;
    facts.emplace_back(name.substr(kFactUrl.size()), std::string(payload));
  });
  return facts;
}

absl::Status DatabaseError::ToStatus() const {
  const Rule& rule = RuleOf(sqlstate);
  std::vector<std::pair<std::string_view, std::string>> facts;
  if (!constraint.empty()) facts.emplace_back("constraint", constraint);
  if (!column.empty()) facts.emplace_back("column", column);
  if (copy_line) facts.emplace_back("row", absl::StrCat(*copy_line));
  return Error(rule.code, rule.reason, rule.message, facts);
}

absl::Status DatabaseError::ToStatusOfRaw() const {
  absl::Status status = ToStatus();
  const auto* rule = std::ranges::find_if(kRawRules, [&](const Rule& each) {
    return !sqlstate.empty() && sqlstate.starts_with(each.sqlstate);
  });
  if (rule != std::end(kRawRules)) status = Error(rule->code, rule->reason, message);
  if (!sqlstate.empty()) AddFact(&status, "sqlstate", sqlstate);
  if (!constraint.empty()) AddFact(&status, "constraint", constraint);
  if (!table.empty()) AddFact(&status, "table", table);
  if (!column.empty()) AddFact(&status, "column", column);
  if (position > 0) AddFact(&status, "position", absl::StrCat(position));
  if (parameter > 0) AddFact(&status, "parameter", absl::StrCat(parameter));
  if (copy_line) AddFact(&status, "row", absl::StrCat(*copy_line));
  return status;
}

Retry DatabaseError::retry() const { return stale ? Retry::kStatement : RuleOf(sqlstate).retry; }

}  // namespace twi::sql

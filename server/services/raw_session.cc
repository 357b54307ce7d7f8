#include "server/services/raw_session.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/util/time_util.h"
#include "server/method.h"
#include "server/record.h"
#include "sql/errors.h"
#include "sql/session.h"

namespace twi::server {

using data::v1::Outcome;
using data::v1::Row;
using data::v1::Table;
using google::protobuf::RepeatedPtrField;
using google::protobuf::util::TimeUtil;
using sql::RawTexts;

namespace {

// Names of arrays' elements come with them, as far as one more level goes: PostgreSQL has no arrays
// of arrays.
const sql::Statement kDescribeTypes = {
    "twi_data_types",
    "select t.oid::text, format_type(t.oid, null), coalesce(e.oid, 0)::text, "
    "coalesce(format_type(e.oid, null), '') "
    "from pg_type t left join pg_type e on e.oid = t.typelem and t.typcategory = 'A' "
    "where t.oid = any($1::oid[])",
    true,
    false,
    false,
    true};

// How long that may take.
constexpr std::chrono::seconds kUndo{5};

// What PostgreSQL says when it cannot infer a placeholder's type.
constexpr std::string_view kNoType = "42P18";

// What it says of a statement in a transaction that has failed.
constexpr std::string_view kFailedBefore = "25P02";

sql::Oid ToOid(std::string_view text) {
  uint32_t oid = 0;
  return absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &oid) ? oid : 0;
}

/// Statements that begin transactions, by what they are: they never change, for connections know
/// them by their addresses.
const sql::Statement& BeginOf(const data::v1::Begin& begin) {
  static const auto* const kAll = [] {
    constexpr std::string_view kLevels[] = {"read committed", "read committed", "repeatable read",
                                            "serializable"};
    auto* all = new std::vector<sql::Statement>;
    for (size_t i = 0; i < std::size(kLevels) * 4; ++i) {
      const std::string text = absl::StrCat("begin isolation level ", std::string(kLevels[i / 4]),
                                            i & 1 ? " read only" : "", i & 2 ? " deferrable" : "");
      all->push_back({absl::StrCat("twi_data_", text), text});
    }
    return all;
  }();
  const size_t level = static_cast<size_t>(begin.isolation());
  return (*kAll)[level * 4 + (begin.read_only() ? 1 : 0) + (begin.deferrable() ? 2 : 0)];
}

}  // namespace

std::vector<sql::Oid> TypeInfos::Missing(const std::vector<sql::Oid>& types) const {
  std::lock_guard lock(mutex_);
  std::vector<sql::Oid> missing;
  std::ranges::copy_if(types, std::back_inserter(missing),
                       [&](sql::Oid type) { return !infos_.contains(type); });
  return missing;
}

void TypeInfos::Add(const sql::Rows& rows) {
  std::lock_guard lock(mutex_);
  for (int i = 0; i < rows.size(); ++i) {
    infos_[ToOid(rows.value(i, 0))] = {std::string(rows.value(i, 1)), ToOid(rows.value(i, 2)),
                                       std::string(rows.value(i, 3))};
  }
}

TypeInfos::Info TypeInfos::Find(sql::Oid type) const {
  std::lock_guard lock(mutex_);
  const auto found = infos_.find(type);
  return found == infos_.end() ? Info{} : found->second;
}

sql::Clock::time_point DeadlineOf(const Call& call, const google::protobuf::Duration* timeout) {
  if (timeout == nullptr) return call.deadline();
  const std::chrono::nanoseconds most(TimeUtil::DurationToNanoseconds(*timeout));
  return std::min(call.deadline(), sql::Clock::now() + most);
}

sql::Clock::time_point LimitOf(Call& call, const google::protobuf::Duration* timeout) {
  const sql::Clock::time_point deadline = DeadlineOf(call, timeout);
  // gRPC itself ends the call at its deadline.
  if (deadline < call.deadline()) call.LimitWaits(deadline);
  return deadline;
}

Principal::RawRules RulesOf(const Call& call) {
  return call.principal() == nullptr ? Principal::RawRules{.granted = true}
                                     : call.principal()->raw_rules();
}

std::string Quoted(const std::string& name) {
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

RawSession::RawSession(Call& call, RawContext& context, sql::Clock::time_point deadline)
    : call_(call), context_(context), deadline_(deadline), rules_(RulesOf(call)) {}

Task<absl::Status> RawSession::Open() {
  sql::Loan loan;
  loan.deadline = deadline_;
  loan.cancelled = &call_.cancelled();
  loan.flow = call_.flow();
  co_await context_.pool->Lend(loan);
  lease_ = std::move(loan.lease);
  if (!loan.status.ok() || rules_.role.empty()) co_return loan.status;
  const sql::Statement set_role = {
      .name = "", .text = absl::StrCat("set role ", Quoted(rules_.role)), .raw = true};
  Task<absl::Status> setting = Command(set_role);
  absl::Status status = co_await setting;
  co_return status;
}

Task<absl::Status> RawSession::Run(sql::Execution& execution) {
  execution.deadline = deadline_;
  execution.cancelled = &call_.cancelled();
  const sql::Clock::time_point submitted = sql::Clock::now();
  co_await lease_.Run(execution);
  RecordRun(*call_.method(), execution, submitted, context_.slow, call_.trace().get());
  co_return execution.status;
}

Task<absl::Status> RawSession::Command(const sql::Statement& statement) {
  sql::Execution execution;
  execution.statement = &statement;
  Task<absl::Status> running = Run(execution);
  absl::Status status = co_await running;
  co_return status;
}

Task<absl::Status> RawSession::Begin(const data::v1::Begin& begin) {
  in_transaction_ = true;
  data::v1::Begin allowed = begin;
  if (rules_.read_only) allowed.set_read_only(true);
  return Command(BeginOf(allowed));
}

Task<absl::Status> RawSession::Commit() {
  sql::Execution execution;
  execution.statement = &sql::kCommit;
  Task<absl::Status> running = Run(execution);
  absl::Status status = co_await running;
  if (execution.sqlstate != kFailedBefore) co_return status;
  // To try again may help or not: the error before said so.
  co_return sql::Error(absl::StatusCode::kFailedPrecondition, "TRANSACTION_FAILED",
                       "the transaction had failed before, and was rolled back");
}

Task<absl::Status> RawSession::Rollback() { return Command(sql::kRollback); }

Task<absl::Status> RawSession::Undo(absl::Status status) {
  if (!in_transaction_) co_return status;
  // Also for a call that is over.
  sql::Execution rollback;
  rollback.statement = &sql::kRollback;
  rollback.deadline = sql::Clock::now() + kUndo;
  co_await lease_.Run(rollback);
  co_return status;
}

Task<absl::Status> RawSession::Run(RawTexts::Text text, const Values& parameters, std::string field,
                                   int most_rows, Outcome* outcome,
                                   std::optional<sql::Snapshot>* snapshot) {
  sql::Execution execution;
  execution.wants_snapshot = snapshot != nullptr;
  for (int i = 0; i < parameters.size(); ++i) {
    absl::Status status = repositories::BindValue(parameters[i], absl::StrCat(field, "[", i, "]"),
                                                  &execution.parameters);
    if (!status.ok()) co_return status;
  }
  execution.statement = &text->statement;
  execution.most_bytes = 2 * context_.most_bytes;
  Task<absl::Status> running = Run(execution);
  absl::Status status = co_await running;
  // In a transaction it is too late: that has failed, too.
  if (execution.sqlstate == kNoType && text->statement.types.empty() && !in_transaction_) {
    std::vector<sql::Oid> types;
    for (const auto& value : parameters) types.push_back(repositories::TypeOf(value));
    const absl::StatusOr<RawTexts::Text> typed =
        context_.texts->Find(text->statement.text, std::move(types));
    if (!typed.ok()) co_return typed.status();
    text = *typed;
    execution.statement = &text->statement;
    execution.status = absl::OkStatus();
    Task<absl::Status> again = Run(execution);
    status = co_await again;
  }
  if (!status.ok()) co_return status;
  if (snapshot != nullptr) *snapshot = execution.snapshot;
  outcome->set_command_tag(std::string(execution.rows.command_tag()));
  outcome->set_affected_rows(execution.rows.affected());
  if (execution.rows.columns() == 0 && execution.rows.size() == 0) co_return absl::OkStatus();
  const int end = std::min(most_rows, execution.rows.size());
  Task<absl::StatusOr<int>> reading =
      Read(execution.rows, 0, end, context_.most_bytes, outcome->mutable_table());
  const absl::StatusOr<int> read = co_await reading;
  if (!read.ok()) co_return read.status();
  co_return *read == end ? absl::OkStatus() : sql::ResultTooLarge();
}

Task<absl::Status> RawSession::RunMany(RawTexts::Text text, const RepeatedPtrField<Row>& rows,
                                       int64_t first, data::v1::ManyOutcome* outcome) {
  if (rows.empty()) co_return absl::OkStatus();
  sql::Execution execution;
  execution.statement = &text->statement;
  for (int i = 0; i < rows.size(); ++i) {
    sql::Parameters& bound = execution.repeats.emplace_back();
    for (int j = 0; j < rows[i].values_size(); ++j) {
      absl::Status status = repositories::BindValue(
          rows[i].values(j), absl::StrCat("rows[", i, "].values[", j, "]"), &bound);
      if (status.ok()) continue;
      sql::AddFact(&status, "row", absl::StrCat(first + i));
      co_return status;
    }
  }
  Task<absl::Status> running = Run(execution);
  absl::Status status = co_await running;
  if (status.ok()) {
    outcome->set_row_count(outcome->row_count() + rows.size());
    outcome->set_affected_rows(outcome->affected_rows() + execution.affected);
  } else {
    const auto failed = first + static_cast<int64_t>(execution.repeated);
    sql::AddFact(&status, "row", absl::StrCat(failed));
  }
  co_return status;
}

Task<absl::Status> RawSession::Learn(std::vector<sql::Oid> types) {
  const std::vector<sql::Oid> missing = context_.types.Missing(types);
  if (missing.empty()) co_return absl::OkStatus();
  sql::Execution execution;
  execution.statement = &kDescribeTypes;
  execution.parameters.Add(absl::StrCat("{", absl::StrJoin(missing, ","), "}"));
  Task<absl::Status> running = Run(execution);
  absl::Status status = co_await running;
  if (status.ok()) context_.types.Add(execution.rows);
  co_return status;
}

Task<absl::StatusOr<int>> RawSession::Read(const sql::Rows& rows, int first, int end,
                                           size_t most_bytes, Table* table) {
  std::vector<sql::Oid> types;
  for (int i = 0; i < rows.columns(); ++i) types.push_back(rows.column_type(i));
  Task<absl::Status> learning = Learn(types);
  const absl::Status status = co_await learning;
  if (!status.ok()) co_return status;

  std::vector<repositories::TypeInfo> infos;
  for (const sql::Oid type : types) infos.push_back(context_.types.Find(type));
  for (int i = 0; first == 0 && i < rows.columns(); ++i) {
    data::v1::Column& column = *table->add_columns();
    column.set_name(std::string(rows.column_name(i)));
    column.set_type(infos[i].name);
  }
  size_t bytes = table->ByteSizeLong();
  int row = first;
  for (; row < end; ++row) {
    Row& values = *table->add_rows();
    for (int i = 0; i < rows.columns(); ++i) {
      data::v1::Value& value = *values.add_values();
      if (!rows.is_null(row, i)) {
        repositories::ReadValue(types[i], infos[i], rows.value(row, i), &value);
      }
    }
    // With its tag and length.
    constexpr size_t kFrame = 6;
    bytes += values.ByteSizeLong() + kFrame;
    if (bytes <= most_bytes) continue;
    if (row == first && bytes > context_.most_bytes) co_return sql::ResultTooLarge();
    if (row == first) continue;
    table->mutable_rows()->RemoveLast();
    break;
  }
  co_return row;
}

Task<absl::Status> RawSession::Describe(RawTexts::Text text,
                                        std::vector<std::string>* parameter_types,
                                        RepeatedPtrField<data::v1::Column>* columns) {
  sql::Execution execution;
  execution.statement = &text->statement;
  execution.describe = true;
  Task<absl::Status> running = Run(execution);
  absl::Status status = co_await running;
  if (!status.ok()) co_return status;
  const std::vector<sql::Oid> types = execution.rows.parameter_types();
  Task<absl::Status> learning = Learn(types);
  status = co_await learning;
  if (!status.ok()) co_return status;
  for (const sql::Oid type : types) parameter_types->push_back(context_.types.Find(type).name);
  Table table;
  Task<absl::StatusOr<int>> reading = Read(execution.rows, 0, 0, 0, &table);
  const absl::StatusOr<int> read = co_await reading;
  columns->Swap(table.mutable_columns());
  co_return read.status();
}

}  // namespace twi::server

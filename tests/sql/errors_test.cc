#include "sql/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <map>

#include "sql/pool.h"
#include "tests/support/database.h"

namespace twi::sql {
namespace {

using absl::StatusCode;
using ::testing::HasSubstr;
using ::testing::Not;

/// Times that the lane runs a statement which fails in a way that may pass.
constexpr int kRuns = 5;

// `fail` is for states that nothing of ours provokes; it says what a careless database might say.
// `fail_first` fails in its first runs, which it counts in locks of the session: those outlive a
// rollback, and reads may take them, too.
constexpr char kSchema[] = R"(
create table parent (
  id bigint primary key,
  name varchar(10) not null,
  span int4range,
  constraint name_is_no_number check (name !~ '^[0-9]'),
  constraint spans_are_apart exclude using gist (span with &&)
);
create table child (parent_id bigint constraint child_needs_parent references parent);
create domain even as bigint constraint is_even check (value % 2 = 0);
insert into parent values (1, 'secret', '[1,5)');
insert into child values (1);

create function fail(state text) returns bigint language plpgsql as $$
begin
  raise exception using errcode = state, message = 'relation "parent" holds secret',
    detail = 'Failing row contains (secret)', hint = 'select from parent';
end $$;

create function fail_first(runs int, state text, counter int) returns int language plpgsql as $$
declare
  run int := 1 + count(*) from pg_locks where locktype = 'advisory' and classid = counter
             and database = (select oid from pg_database where datname = current_database());
begin
  perform pg_advisory_lock(counter, run);
  if run <= runs then raise exception using errcode = state; end if;
  return run;
end $$;

create function endless(depth bigint) returns bigint language plpgsql as $$
begin return endless(depth + 1); end $$;

create function as_stranger() returns bigint language sql
set role = pg_monitor as 'select count(*) from parent';

create function refuse() returns trigger language plpgsql as $$
begin raise exception 'no secret is deleted'; end $$;
create trigger refuse before delete on child for each row execute function refuse();
)";

struct Failure {
  std::string sqlstate;
  std::string statement;
  StatusCode code;
  std::string reason;
  std::vector<std::pair<std::string, std::string>> facts = {};
  Retry retry = Retry::kNever;
  bool read_only = false;
};

/// A failure of a state that `fail` raises.
Failure Raised(const std::string& sqlstate, StatusCode code, const std::string& reason,
               Retry retry = Retry::kNever) {
  return {sqlstate, "select fail('" + sqlstate + "')", code, reason, {}, retry};
}

const std::vector<Failure> kFailures = {
    {"23505",
     "insert into parent values (1, 'secret')",
     StatusCode::kAlreadyExists,
     "ROW_EXISTS",
     {{"constraint", "parent_pkey"}}},
    {"23503",
     "insert into child values (77)",
     StatusCode::kFailedPrecondition,
     "FOREIGN_KEY_MISSING",
     {{"constraint", "child_needs_parent"}}},
    {"23503",
     "delete from parent where id = 1",
     StatusCode::kFailedPrecondition,
     "FOREIGN_KEY_MISSING",
     {{"constraint", "child_needs_parent"}}},
    {"23502",
     "insert into parent values (2, null)",
     StatusCode::kInvalidArgument,
     "VALUE_INVALID",
     {{"column", "name"}}},
    {"23514",
     "insert into parent values (2, '2secret')",
     StatusCode::kFailedPrecondition,
     "CONSTRAINT_VIOLATED",
     {{"constraint", "name_is_no_number"}}},
    {"23514",
     "select 3::even",
     StatusCode::kFailedPrecondition,
     "CONSTRAINT_VIOLATED",
     {{"constraint", "is_even"}},
     Retry::kNever,
     true},
    {"23P01",
     "insert into parent values (2, 'secret', '[4,6)')",
     StatusCode::kFailedPrecondition,
     "CONSTRAINT_VIOLATED",
     {{"constraint", "spans_are_apart"}}},
    {"22001", "insert into parent values (2, 'a secret too long')", StatusCode::kInvalidArgument,
     "VALUE_INVALID"},
    {"22003",
     "select 2147483647 + length(name) from parent",
     StatusCode::kInvalidArgument,
     "VALUE_INVALID",
     {},
     Retry::kNever,
     true},
    {"22012",
     "select 1 / (id - 1) from parent",
     StatusCode::kInvalidArgument,
     "VALUE_INVALID",
     {},
     Retry::kNever,
     true},
    {"22P02",
     "select name::bigint from parent",
     StatusCode::kInvalidArgument,
     "VALUE_INVALID",
     {},
     Retry::kNever,
     true},
    {"22008",
     "select name::timestamp from (select '2020-02-30' as name) s",
     StatusCode::kInvalidArgument,
     "VALUE_INVALID",
     {},
     Retry::kNever,
     true},
    {"54001",
     "select endless(0)",
     StatusCode::kInvalidArgument,
     "VALUE_INVALID",
     {},
     Retry::kNever,
     true},
    {"25006",
     "update child set parent_id = 1",
     StatusCode::kFailedPrecondition,
     "READ_ONLY",
     {},
     Retry::kNever,
     true},
    {"42501",
     "select as_stranger()",
     StatusCode::kPermissionDenied,
     "PERMISSION_DENIED",
     {},
     Retry::kNever,
     true},
    {"42P01",
     "select 1 from no_such_table",
     StatusCode::kFailedPrecondition,
     "SCHEMA_MISMATCH",
     {},
     Retry::kNever,
     true},
    {"42703",
     "select secret from parent",
     StatusCode::kFailedPrecondition,
     "SCHEMA_MISMATCH",
     {},
     Retry::kNever,
     true},
    {"42883",
     "select no_such_function()",
     StatusCode::kFailedPrecondition,
     "SCHEMA_MISMATCH",
     {},
     Retry::kNever,
     true},
    {"P0001", "delete from child", StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATED"},
    // Two rows where a statement means one are our own fault.
    {"21000",
     "select (select generate_series(1, 2))",
     StatusCode::kInternal,
     "INTERNAL",
     {},
     Retry::kNever,
     true},

    Raised("23000", StatusCode::kFailedPrecondition, "CONSTRAINT_VIOLATED"),
    Raised("40001", StatusCode::kAborted, "SERIALIZATION_FAILURE", Retry::kStatement),
    Raised("40P01", StatusCode::kAborted, "DEADLOCK", Retry::kStatement),
    Raised("40002", StatusCode::kAborted, "SERIALIZATION_FAILURE", Retry::kStatement),
    Raised("40003", StatusCode::kUnknown, "OUTCOME_UNKNOWN"),
    Raised("55P03", StatusCode::kAborted, "SERIALIZATION_FAILURE", Retry::kStatement),
    Raised("57P01", StatusCode::kUnavailable, "DATABASE_UNAVAILABLE"),
    Raised("57P03", StatusCode::kUnavailable, "DATABASE_UNAVAILABLE"),
    Raised("08006", StatusCode::kUnavailable, "DATABASE_UNAVAILABLE"),
    Raised("25P02", StatusCode::kAborted, "SERIALIZATION_FAILURE"),
    Raised("25P03", StatusCode::kAborted, "TRANSACTION_IDLE"),
    Raised("53100", StatusCode::kResourceExhausted, "DATABASE_EXHAUSTED"),
    Raised("53300", StatusCode::kResourceExhausted, "DATABASE_EXHAUSTED"),
    Raised("54000", StatusCode::kInvalidArgument, "VALUE_INVALID"),
    Raised("28P01", StatusCode::kUnavailable, "DATABASE_UNAVAILABLE"),
    Raised("3D000", StatusCode::kUnavailable, "DATABASE_UNAVAILABLE"),
    Raised("0A000", StatusCode::kFailedPrecondition, "SCHEMA_MISMATCH"),
    Raised("26000", StatusCode::kFailedPrecondition, "SCHEMA_MISMATCH", Retry::kStatement),
    Raised("XX000", StatusCode::kInternal, "INTERNAL"),
    Raised("55000", StatusCode::kFailedPrecondition, "NOT_COMPUTED"),
    Raised("ZZ123", StatusCode::kInternal, "INTERNAL"),
};

class ErrorsTest : public ::testing::Test {
 protected:
  // On a busy machine, too, everything runs in the lanes, whose connections know a statement.
  explicit ErrorsTest(absl::Duration slow = absl::InfiniteDuration())
      : pool_({.dsn = database_.dsn(), .slow = slow}) {
    database_.Run(kSchema);
    EXPECT_TRUE(pool_.WaitConnected(absl::Seconds(20)).ok());
  }

  /// Runs a statement without parameters and waits for it.
  std::unique_ptr<Execution> Run(const std::string& text, bool read_only,
                                 Clock::duration timeout = std::chrono::seconds(60)) {
    const std::string name = "Errors/" + std::to_string(statements_.size());
    const Statement& statement =
        statements_.try_emplace(text, Statement{name, text, read_only}).first->second;
    std::promise<void> done;
    auto execution = std::make_unique<Execution>();
    execution->statement = &statement;
    execution->deadline = Clock::now() + timeout;
    execution->done = [&done] { done.set_value(); };
    if (pool_.Submit(execution.get())) done.get_future().wait();
    return execution;
  }

  testing::Database database_;
  std::map<std::string, Statement> statements_;
  Pool pool_;
};

/// Expects that no part of its status holds what the database said or was asked.
void ExpectNothingTold(const Execution& execution) {
  const std::string told = execution.status.ToString();
  EXPECT_THAT(told, Not(HasSubstr(execution.statement->text)));
  // Empty when the caller's deadline passed before the database said anything.
  for (const std::string& words : {execution.sqlstate, execution.database_message}) {
    if (words.empty()) continue;
    EXPECT_THAT(told, Not(HasSubstr(words)));
  }
  for (const char* word : {"secret", "select", "insert into", "delete from", "Failing", "relation",
                           "DETAIL", "77", "2020"}) {
    EXPECT_THAT(told, Not(HasSubstr(word)));
  }
}

TEST_F(ErrorsTest, EveryStateIsToldByTheTable) {
  for (const Failure& failure : kFailures) {
    SCOPED_TRACE(failure.statement);
    const auto execution = Run(failure.statement, failure.read_only);
    EXPECT_EQ(execution->sqlstate, failure.sqlstate) << execution->database_message;
    EXPECT_EQ(execution->status.code(), failure.code);
    EXPECT_EQ(Reason(execution->status), failure.reason);
    EXPECT_EQ(Facts(execution->status), failure.facts);
    EXPECT_EQ((DatabaseError{failure.sqlstate, "", "", ""}.retry()), failure.retry);
    EXPECT_EQ(execution->attempts, failure.retry == Retry::kStatement ? kRuns : 1);
    EXPECT_FALSE(execution->database_message.empty());
    ExpectNothingTold(*execution);
  }
  EXPECT_EQ(database_.Value("select count(*) from parent"), "1");
  EXPECT_EQ(database_.Value("select count(*) from child"), "1");
  EXPECT_EQ(pool_.numbers().lost, 0);
}

TEST_F(ErrorsTest, WhatFailsAtFirstRunsAgain) {
  int counter = 0;
  for (const std::string state : {"40001", "40P01", "55P03"}) {
    for (const bool read_only : {true, false}) {
      SCOPED_TRACE(state + (read_only ? ", read" : ", write"));
      const auto execution = Run(
          "select fail_first(2, '" + state + "', " + std::to_string(++counter) + ")", read_only);
      EXPECT_TRUE(execution->status.ok()) << execution->status;
      EXPECT_EQ(execution->attempts, 3);
      EXPECT_EQ(execution->rows.size(), 1);
    }
  }
}

TEST_F(ErrorsTest, AWriteThatRunsAgainIsDoneOnce) {
  const auto execution =
      Run("insert into child select id from parent where fail_first(2, '40001', 1) > 0", false);
  EXPECT_TRUE(execution->status.ok()) << execution->status;
  EXPECT_EQ(execution->attempts, 3);
  EXPECT_EQ(database_.Value("select count(*) from child"), "2");
}

TEST_F(ErrorsTest, TheLaneGivesUpAfterSomeRuns) {
  const auto last = Run("select fail_first(4, '40P01', 1)", true);
  EXPECT_TRUE(last->status.ok()) << last->status;
  EXPECT_EQ(last->attempts, kRuns);

  const auto given_up = Run("select fail_first(5, '40P01', 2)", true);
  EXPECT_EQ(given_up->status.code(), StatusCode::kAborted);
  EXPECT_EQ(Reason(given_up->status), "DEADLOCK");
  EXPECT_EQ(given_up->attempts, kRuns);
}

/// Of statements that are cut off in a lane.
class SlowErrorsTest : public ErrorsTest {
 protected:
  SlowErrorsTest() : ErrorsTest(absl::Milliseconds(5)) {}
};

TEST_F(SlowErrorsTest, AStatementEndsAtItsCallersDeadline) {
  const auto execution =
      Run("select pg_sleep(60) /* secret */", true, std::chrono::milliseconds(100));
  EXPECT_EQ(execution->status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Reason(execution->status), "DEADLINE_EXCEEDED");
  ExpectNothingTold(*execution);
}

TEST_F(ErrorsTest, ACancelBySomebodyElseIsTriedAgain) {
  const auto execution = Run("select fail_first(2, '57014', 1)", true);
  EXPECT_TRUE(execution->status.ok()) << execution->status;
  EXPECT_EQ(execution->attempts, 3);

  const auto given_up = Run("select fail('57014')", true);
  EXPECT_EQ(given_up->sqlstate, "57014");
  EXPECT_EQ(given_up->status.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Reason(given_up->status), "DEADLINE_EXCEEDED");
  EXPECT_EQ(given_up->attempts, kRuns);
  ExpectNothingTold(*given_up);
}

TEST_F(ErrorsTest, AStatementWithChangedResultTypesIsPreparedAnew) {
  const std::string names = "select name from parent";
  const auto text = Run(names, true);
  ASSERT_TRUE(text->status.ok());
  database_.Run(
      "alter table parent drop constraint name_is_no_number;"
      "alter table parent alter column name type bigint using 0");
  const auto number = Run(names, true);
  ASSERT_TRUE(number->status.ok()) << number->status;
  EXPECT_EQ(number->attempts, 2);
  EXPECT_NE(number->rows.column_type(0), text->rows.column_type(0));
}

TEST(Errors, ABrokenConnectionHasNoState) {
  const DatabaseError broken{"", "server closed the connection: host=secret", "", ""};
  EXPECT_EQ(broken.ToStatus().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Reason(broken.ToStatus()), "DATABASE_UNAVAILABLE");
  EXPECT_EQ(broken.retry(), Retry::kNever);
  EXPECT_THAT(broken.ToStatus().ToString(), Not(HasSubstr("secret")));
}

TEST(Errors, ReasonsAndFactsTravelInTheStatus) {
  const absl::Status status = Error(StatusCode::kNotFound, "ROW_NOT_FOUND", "no such row",
                                    {{"constraint", "a"}, {"column", ""}});
  EXPECT_EQ(status.message(), "no such row");
  EXPECT_EQ(Reason(status), "ROW_NOT_FOUND");
  EXPECT_THAT(Facts(status), ::testing::UnorderedElementsAre(::testing::Pair("constraint", "a"),
                                                             ::testing::Pair("column", "")));
  EXPECT_EQ(Reason(absl::NotFoundError("of somebody else")), "");
  EXPECT_THAT(Facts(absl::NotFoundError("of somebody else")), ::testing::IsEmpty());
}

}  // namespace
}  // namespace twi::sql

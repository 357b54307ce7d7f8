#include "repositories/operation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "repositories/catalog.h"
#include "sql/errors.h"
#include "sql/pool.h"
#include "tests/support/database.h"
#include "twi/test/v1/operation.pb.h"

namespace twi::repositories {
namespace {

using absl::StatusCode;
using test::v1::Done;
using test::v1::PageThingsRequest;
using test::v1::PageThingsResponse;
using test::v1::ThingRequest;
using test::v1::ThingResponse;
using test::v1::ThingsResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr char kStanzas[] = R"(
-- name: GetThing
select id, name from things where name = :name;

-- name: FindThing
-- none: OK
select id, name from things where name = :name;

-- name: CountThings
select name, count(*) as count from things where name = :name group by name;

-- name: ListThings
select id, name from things where name = :name order by id;

-- name: NeedThings
-- none: NOT_FOUND
select id, name from things where name = :name order by id;

-- name: PageThings
-- page: t.id
select t.id, t.name
from things t
where :page.after
order by t.id
limit :page.size;

-- name: CreateThing
-- none: ALREADY_EXISTS
insert into things (id, name)
values (10, :name)
on conflict (id) do nothing
returning id, name;

-- name: DeleteThing
delete from things where name = :name returning 1;

-- name: ForgetThing
-- none: OK
delete from things where name = :name returning 1;

-- name: PurgeThing
delete from things where name = :name;
)";

const google::protobuf::ServiceDescriptor* Service() {
  return Done::descriptor()->file()->FindServiceByName("OperationService");
}

class OperationTest : public ::testing::Test {
 protected:
  OperationTest() {
    database_.Run(
        "create table things (id bigint primary key, name text not null constraint key unique)");
    auto loaded = Catalog::Load(database_.dsn(), {{"operation.sql", kStanzas}}, {Service()});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    for (const Problem& problem : loaded->problems) ADD_FAILURE() << problem.message;
    catalog_ = std::move(loaded->catalog);
    // The key that the catalog has seen goes: now a name may be that of two.
    database_.Run(
        "alter table things drop constraint key;"
        "insert into things values (1, 'one'), (2, 'two'), (3, 'two')");
    EXPECT_TRUE(pool_.WaitConnected(absl::Seconds(20)).ok());
  }

  const Operation& Find(const std::string& name) const {
    for (const auto& operation : catalog_->operations()) {
      if (operation->name() == "OperationService/" + name) return *operation;
    }
    ADD_FAILURE() << "there is no " << name;
    return *catalog_->operations().front();
  }

  /// Calls the operation; the response is what it was when that fails.
  absl::Status Call(const std::string& name, const google::protobuf::Message& request,
                    google::protobuf::Message* response) {
    const Operation& operation = Find(name);
    sql::Execution execution;
    if (absl::Status status = operation.Bind(request, &execution); !status.ok()) return status;
    std::promise<void> done;
    execution.done = [&done] { done.set_value(); };
    execution.deadline = sql::Clock::now() + std::chrono::seconds(60);
    if (pool_.Submit(&execution)) done.get_future().wait();
    if (!execution.status.ok()) return execution.status;
    std::string bytes;
    if (absl::Status status = operation.Encode(execution.rows, request, &bytes); !status.ok()) {
      return status;
    }
    EXPECT_TRUE(response->ParseFromString(bytes));
    return absl::OkStatus();
  }

  absl::Status Call(const std::string& name, const std::string& thing,
                    google::protobuf::Message* response) {
    ThingRequest request;
    request.set_name(thing);
    return Call(name, request, response);
  }

  std::string Count() const { return database_.Value("select count(*) from things"); }

  testing::Database database_;
  std::unique_ptr<Catalog> catalog_;
  // Nothing is slow, however busy the machine.
  sql::Pool pool_{{.dsn = database_.dsn(), .slow = absl::InfiniteDuration()}};
};

TEST_F(OperationTest, KnowsWhatItIs) {
  EXPECT_EQ(catalog_->operations().size(), static_cast<size_t>(Service()->method_count()));
  EXPECT_TRUE(Find("GetThing").read_only());
  EXPECT_EQ(Find("GetThing").ttl(), absl::Seconds(60));
  EXPECT_EQ(Find("FindThing").ttl(), absl::ZeroDuration());
  EXPECT_FALSE(Find("CreateThing").read_only());
  EXPECT_EQ(Find("CreateThing").method(), Service()->FindMethodByName("CreateThing"));
  EXPECT_EQ(Find("CreateThing").statement().name, "OperationService/CreateThing");
}

TEST_F(OperationTest, OnlyWhatIsDeclaredSoMayRunTwice) {
  for (const auto& operation : catalog_->operations()) {
    const std::unique_ptr<google::protobuf::Message> request(
        google::protobuf::MessageFactory::generated_factory()
            ->GetPrototype(operation->method()->input_type())
            ->New());
    sql::Execution execution;
    ASSERT_TRUE(operation->Bind(*request, &execution).ok());
    EXPECT_EQ(execution.idempotent, operation->name() == "OperationService/ForgetThing");
  }
}

TEST_F(OperationTest, AResourceIsOneRow) {
  ThingResponse response;
  ASSERT_TRUE(Call("GetThing", "one", &response).ok());
  EXPECT_EQ(response.thing().id(), 1);
  EXPECT_EQ(response.thing().name(), "one");

  const absl::Status none = Call("GetThing", "none", &response);
  EXPECT_EQ(none.code(), StatusCode::kNotFound);
  EXPECT_EQ(sql::Reason(none), "ROW_NOT_FOUND");
}

TEST_F(OperationTest, MoreRowsThanOneAreAFault) {
  ThingResponse response;
  const absl::Status status = Call("GetThing", "two", &response);
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_EQ(sql::Reason(status), "INTERNAL");
  EXPECT_EQ(status.message(), "OperationService/GetThing returned 2 rows where one is meant");
  Done done;
  EXPECT_EQ(Call("DeleteThing", "two", &done).code(), StatusCode::kInternal);
}

TEST_F(OperationTest, ReadsOfOneRowThatAreThereTogetherShareAStatement) {
  const Operation& operation = Find("GetThing");
  const std::vector<std::string> names = {"one", "none", "one", "two", "one"};
  constexpr size_t kCallers = 50;
  std::vector<ThingRequest> requests(kCallers);
  std::vector<sql::Execution> executions(kCallers);
  std::vector<std::promise<void>> done(kCallers);
  for (size_t i = 0; i < kCallers; ++i) {
    requests[i].set_name(names[i % names.size()]);
    ASSERT_TRUE(operation.Bind(requests[i], &executions[i]).ok());
    executions[i].deadline = sql::Clock::now() + std::chrono::seconds(60);
    executions[i].done = [&done, i] { done[i].set_value(); };
  }
  // Whom a lane has taken waits for it; the others wait together for the lanes.
  testing::Transaction gate(database_, "lock table things");
  for (size_t i = 0; i < kCallers; ++i) {
    if (!pool_.Submit(&executions[i])) done[i].set_value();
  }
  gate.End();
  int together = 0;
  for (size_t i = 0; i < kCallers; ++i) {
    done[i].get_future().wait();
    ASSERT_TRUE(executions[i].status.ok()) << executions[i].status;
    together += executions[i].rows.columns() == 3;
    std::string bytes;
    const absl::Status status = operation.Encode(executions[i].rows, requests[i], &bytes);
    const std::string& name = requests[i].name();
    EXPECT_EQ(status.code(), name == "none"  ? StatusCode::kNotFound
                             : name == "two" ? StatusCode::kInternal
                                             : StatusCode::kOk);
    ThingResponse response;
    EXPECT_TRUE(response.ParseFromString(bytes));
    EXPECT_EQ(response.thing().id(), name == "one" ? 1 : 0);
  }
  EXPECT_GT(together, 10);
}

TEST_F(OperationTest, ARecordIsOneRow) {
  test::v1::CountResponse response;
  ASSERT_TRUE(Call("CountThings", "two", &response).ok());
  EXPECT_EQ(response.name(), "two");
  EXPECT_EQ(response.count(), 2);
  EXPECT_EQ(sql::Reason(Call("CountThings", "none", &response)), "ROW_NOT_FOUND");
}

TEST_F(OperationTest, AListMayBeEmpty) {
  ThingsResponse response;
  ASSERT_TRUE(Call("ListThings", "two", &response).ok());
  EXPECT_EQ(response.things_size(), 2);
  ASSERT_TRUE(Call("ListThings", "none", &response).ok());
  EXPECT_EQ(response.things_size(), 0);
}

TEST_F(OperationTest, NoRowIsWhatTheStanzaSays) {
  ThingResponse thing;
  ASSERT_TRUE(Call("FindThing", "one", &thing).ok());
  EXPECT_EQ(thing.thing().id(), 1);
  ASSERT_TRUE(Call("FindThing", "none", &thing).ok());
  EXPECT_FALSE(thing.has_thing());

  ThingsResponse things;
  ASSERT_TRUE(Call("NeedThings", "two", &things).ok());
  EXPECT_EQ(things.things_size(), 2);
  EXPECT_EQ(sql::Reason(Call("NeedThings", "none", &things)), "ROW_NOT_FOUND");

  ASSERT_TRUE(Call("CreateThing", "ten", &thing).ok());
  EXPECT_EQ(thing.thing().id(), 10);
  const absl::Status exists = Call("CreateThing", "ten again", &thing);
  EXPECT_EQ(exists.code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(sql::Reason(exists), "ROW_EXISTS");
  EXPECT_EQ(Count(), "4");
}

TEST_F(OperationTest, AResponseWithoutFieldsTellsWhetherThereWasARow) {
  Done done;
  EXPECT_TRUE(Call("DeleteThing", "one", &done).ok());
  EXPECT_EQ(sql::Reason(Call("DeleteThing", "one", &done)), "ROW_NOT_FOUND");
  EXPECT_EQ(Count(), "2");
  // Unless the stanza says otherwise, or the statement returns no rows and knows nothing.
  EXPECT_TRUE(Call("ForgetThing", "one", &done).ok());
  EXPECT_TRUE(Call("PurgeThing", "two", &done).ok());
  EXPECT_EQ(Count(), "0");
  EXPECT_TRUE(Call("PurgeThing", "two", &done).ok());
}

TEST_F(OperationTest, APageCannotEndAtNull) {
  PageThingsRequest request;
  PageThingsResponse response;
  request.set_page_size(3);
  ASSERT_TRUE(Call("PageThings", request, &response).ok());
  EXPECT_EQ(response.things_size(), 3);
  EXPECT_EQ(response.next_page_token(), "");

  // Now there are rows after that without a key.
  database_.Run(
      "alter table things drop constraint things_pkey; alter table things alter id drop not null;"
      "insert into things values (null, 'x'), (null, 'y')");
  request.set_page_size(4);
  const absl::Status status = Call("PageThings", request, &response);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_EQ(sql::Reason(status), "VALUE_UNREPRESENTABLE");
  EXPECT_THAT(sql::Facts(status), ElementsAre(Pair("column", "id")));
}

TEST_F(OperationTest, NoneIsRefusedWhereThereAreNeverRows) {
  database_.Run("delete from things; alter table things add unique (name)");
  std::string stanzas = kStanzas;
  const std::string purge = "-- name: PurgeThing\n";
  stanzas.insert(stanzas.find(purge) + purge.size(), "-- none: NOT_FOUND\n");
  auto loaded = Catalog::Load(database_.dsn(), {{"operation.sql", stanzas}}, {Service()});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->problems.size(), 1u);
  EXPECT_THAT(loaded->problems[0].message,
              HasSubstr("PurgeThing: `-- none:` says nothing of a statement without rows"));
}

}  // namespace
}  // namespace twi::repositories

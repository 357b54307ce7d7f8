// Nothing of a person or a server is left but what repositories/personal_data.md says, whatever
// tables there are. Single calls are told in tests/cases.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/support/personal_data_fixture.h"
#include "twi/data/v1/servers.pb.h"

namespace twi::server {
namespace {

using testing::Column;
using testing::Json;
using testing::kOther;
using testing::kOwn;
using testing::kPerson;
using testing::kPlain;
using testing::kThings;
using testing::kWords;
using testing::Names;
using testing::PersonalDataTest;

TEST_F(PersonalDataTest, EachColumnAndTableIsInThePolicy) {
  Names columns, tables;
  for (const auto& [table, all] : tables_) {
    tables.insert(table);
    for (const Column& column : all) {
      columns.insert(column.full());
      const bool thing = column.number() && kThings.contains(column.name);
      if ((!column.number() && !column.text()) || thing) continue;
      EXPECT_TRUE(policy_.columns.contains(column.full()))
          << column.full() << " is not in repositories/personal_data.md";
    }
    EXPECT_NE(policy_.purged.contains(table), policy_.kept.contains(table))
        << table << " is not in one list of servers' tables in repositories/personal_data.md";
  }
  for (const auto& [column, what] : policy_.columns) {
    EXPECT_TRUE(columns.contains(column)) << column << " is not there";
    EXPECT_THAT(what, ::testing::AnyOf("erase", "clear", "less", "keep")) << column;
  }
  for (const Names& named : {policy_.purged, policy_.kept}) {
    for (const std::string& table : named) EXPECT_TRUE(tables.contains(table)) << table;
  }
}

TEST_F(PersonalDataTest, NothingOfAPersonIsLeftThatThePolicyDoesNotName) {
  Fill();
  const Json before = All();
  const Json plain = All(absl::StrCat("to_jsonb(t)::text !~ '\\m", kPerson, "\\M|MARK'"));
  ASSERT_GT(plain.size(), 40u);

  const Json counts = Delete(/*dry_run=*/true);
  EXPECT_EQ(All(), before);
  EXPECT_EQ(Delete(/*dry_run=*/false), counts);

  Names keep = policy_.That("keep");
  for (const auto& [column, word] : kWords) keep.erase(column);
  // Numbers, and a word that tells whose the row is.
  keep.erase("updates.updated_table");
  keep.erase("schema_embeddings.embedding");
  keep.erase("links.title_number");
  EXPECT_EQ(Holding(kPerson), keep);
  Names may_stay = policy_.That("less");
  may_stay.merge(policy_.That("keep"));
  for (const std::string& marked : Holding("MARK")) {
    EXPECT_TRUE(may_stay.contains(marked)) << marked;
  }
  // A row that something told of the person in stays, if it is not the person's.
  const Names told = Holding("told");
  for (const std::string& less : policy_.That("less")) EXPECT_TRUE(told.contains(less)) << less;
  const Json after = All();
  for (const Json& row : plain) {
    EXPECT_NE(std::find(after.begin(), after.end(), row), after.end()) << row;
  }
  EXPECT_EQ(before.size() - after.size(), [&counts] {
    size_t erased = 0;
    for (const Json& count : counts) erased += count[0].get<size_t>();
    return erased;
  }());

  EXPECT_EQ(Delete(/*dry_run=*/true), Json::object());
  EXPECT_EQ(Delete(/*dry_run=*/false), Json::object());
  EXPECT_EQ(All(), after);
}

TEST_F(PersonalDataTest, AnExportTellsAllThatIsErasedOrEmptied) {
  Fill();
  std::vector<std::string> persons;  // As SQL, for each table's rows.
  Json expected = Json::array();
  for (const auto& [table, columns] : tables_) {
    std::string condition = "false";
    for (const Column& column : columns) {
      const std::string& what = policy_.columns.contains(column.full())
                                    ? policy_.columns.at(column.full())
                                    : std::string();
      if (what != "erase" && what != "clear") continue;
      if (IsUser(column)) absl::StrAppend(&condition, " or t.", column.name, " = ", kPerson);
    }
    // What hangs on the person's message, and the person's trail.
    for (const char* hanging :
         {"attachments", "embeds", "embed_fields", "mentions", "message_edit", "updates"}) {
      if (table == hanging)
        absl::StrAppend(&condition, " or to_jsonb(t)::text ~ '\\m", kOwn, "\\M|MARK'");
    }
    for (Json& row :
         Rows(absl::StrCat("select jsonb_build_array('", table, "', to_jsonb(t)) as x from ", table,
                           " t where ", condition))) {
      const bool about = table == "reports" && row[1]["user_id"] != std::stoll(kPerson);
      if (about) row[1]["user_id"] = nullptr;
      expected.push_back(row);
    }
  }
  const std::vector<Json> told = Export();
  EXPECT_THAT(told, ::testing::UnorderedElementsAreArray(expected.begin(), expected.end()));
  // By table, then by key: the same each time.
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end(), [](const Json& a, const Json& b) {
    return a[0].get<std::string>() < b[0].get<std::string>();
  }));
  EXPECT_EQ(Export(), told);

  const Json counts = Delete(/*dry_run=*/false);
  for (const Json& row : told) EXPECT_TRUE(counts.contains(row[0])) << row[0];
  EXPECT_THAT(Export(), ::testing::IsEmpty());
}

TEST_F(PersonalDataTest, AnExportOfManyPortionsHasEachRowOnce) {
  server->database().Run(absl::StrCat(
      Empty(),
      "insert into messages (message_id, created_at, content, server_name, server_id, channel_id, "
      "user_id, jump_url, is_bot) select i, now(), 'x', '', 1, 2, case when i % 3 = 0 then ",
      kOther, " else ", kPerson,
      " end, '', false from generate_series(1, 3000) i;"
      "insert into reactions (message_id, user_id, unicode_emoji, date) select i, ",
      kPerson,
      ", '🐸', now() from generate_series(1, 1200) i;"
      "insert into attachments (id, message_id) select 5000 - i, i from generate_series(1, 900) "
      "i"));
  std::map<std::string, std::vector<int64_t>> keys;
  for (const Json& row : Export()) {
    keys[row[0]].push_back(row[1][row[0] == "messages" ? "message_id" : "id"]);
  }
  EXPECT_EQ(keys["attachments"].size(), 600u);
  EXPECT_EQ(keys["messages"].size(), 2000u);
  EXPECT_EQ(keys["reactions"].size(), 1200u);
  for (auto& [table, list] : keys) {
    EXPECT_TRUE(std::is_sorted(list.begin(), list.end())) << table;
    EXPECT_EQ(std::adjacent_find(list.begin(), list.end()), list.end()) << table;
  }
}

TEST_F(PersonalDataTest, NothingOfAServerIsLeftThatThePolicyDoesNotName) {
  Fill();
  const std::string own = absl::StrCat("to_jsonb(t)::text ~ '\\m", kPlain, "\\M'");
  const Json others = All(absl::StrCat("not (", own, ")"));
  const Json before = All();
  const auto purge = [](bool dry_run, int messages) {
    data::v1::PurgeServerRequest request;
    data::v1::PurgeServerResponse response;
    request.set_server_id(kPlain);
    request.set_dry_run(dry_run);
    request.set_message_count(messages);
    const grpc::Status status =
        server->Call("/twi.data.v1.ServersService/PurgeServer", request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  };
  const auto counted = purge(/*dry_run=*/true, 1);
  EXPECT_FALSE(counted.has_more());
  EXPECT_EQ(All(), before);
  std::map<std::string, int64_t> counts;
  for (const auto& table : counted.tables()) counts[table.table_name()] = table.count();

  int calls = 1;
  for (auto done = purge(/*dry_run=*/false, 1);; done = purge(/*dry_run=*/false, 1)) {
    for (const auto& table : done.tables()) counts[table.table_name()] -= table.count();
    if (!done.has_more()) break;
    ASSERT_LT(++calls, 10);
  }
  EXPECT_EQ(calls, 3) << "for two messages, and for the rest";
  Names purged;
  for (const auto& [table, left] : counts) {
    EXPECT_EQ(left, 0) << table;
    purged.insert(table);
  }
  EXPECT_EQ(purged, policy_.purged);
  const Json left = OfAll(absl::StrCat("select distinct 'TABLE' as x from TABLE t where ", own));
  for (const Json& table : left) EXPECT_TRUE(policy_.kept.contains(table)) << table;
  EXPECT_EQ(All(absl::StrCat("not (", own, ")")), others);
  EXPECT_TRUE(purge(/*dry_run=*/false, 1).tables().empty());
}

TEST_F(PersonalDataTest, WhatIsAddedMeanwhileIsNoticed) {
  data::v1::DeleteUserDataRequest erase;
  erase.set_user_id(4);
  erase.set_dry_run(false);
  data::v1::PurgeServerRequest purge;
  purge.set_server_id(1);
  purge.set_dry_run(false);
  const std::pair<std::string, const google::protobuf::Message&> calls[] = {
      {"/twi.data.v1.PersonalDataService/DeleteUserData", erase},
      {"/twi.data.v1.ServersService/PurgeServer", purge}};
  for (const auto& [path, request] : calls) {
    const testing::Database& database = server->database();
    database.Run(Empty() +
                 "insert into users (user_id, username) values (4, 'l');"
                 "insert into servers (server_id) values (1)");
    testing::Transaction adding(database,
                                "insert into server_membership (user_id, server_id) values (4, 1)");
    auto call = std::async(std::launch::async, [&path = path, &request = request] {
      return server->Call(path, request, nullptr).error_code();
    });
    // It waits for the row that the other one refers to.
    while (database.Value("select count(*) from pg_stat_activity where wait_event_type = 'Lock' "
                          "and datname = current_database()") == "0" &&
           call.wait_for(std::chrono::milliseconds(5)) == std::future_status::timeout) {
    }
    adding.Commit();
    EXPECT_EQ(call.get(), grpc::FAILED_PRECONDITION) << path;
    EXPECT_EQ(server->Call(path, request, nullptr).error_code(), grpc::OK) << path;
    EXPECT_EQ(database.Value("select count(*) from server_membership"), "0") << path;
  }
}

}  // namespace
}  // namespace twi::server

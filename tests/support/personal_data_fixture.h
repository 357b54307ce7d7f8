#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/util/json_util.h"
#include "tests/support/conversation.h"
#include "tests/support/running_server.h"
#include "twi/data/v1/personal_data.pb.h"

namespace twi::testing {

using Json = nlohmann::json;
using Names = std::set<std::string>;

inline constexpr char kPerson[] = "80351110224678912";
inline constexpr char kOther[] = "90351110224678913";

// The numbers that a set of rows, one in each table, has for all that is no user.
inline constexpr int kOwn = 1001;    // Of the person, with texts that have a mark.
inline constexpr int kPlain = 2001;  // Of somebody else.
inline constexpr int kTold = 3001;   // Of somebody else, with texts that mention the person.
inline constexpr int kBeside =
    4001;  // And on: of somebody else but for one column, which is the person.

// Columns of 64 bits that are no users.
inline const Names kThings = {"id",
                              "serial_id",
                              "serial",
                              "serial_index",
                              "index_serial",
                              "message_id",
                              "channel_id",
                              "guild_id",
                              "server_id",
                              "server",
                              "role_id",
                              "thread_id",
                              "category_id",
                              "parent_id",
                              "emoji_id",
                              "emote_id",
                              "poll_id",
                              "option_id",
                              "webhook_id",
                              "view_id",
                              "reference",
                              "size",
                              "permissions",
                              "role_mention",
                              "pinned_poll_id",
                              "channel_poll_id",
                              "post_id",
                              "repost_message_id",
                              "social_media_approved_post_id",
                              "booru_wiki_approved_post_id",
                              "embed_id",
                              "admin_role_id",
                              "required_roles"};

// What the tables' checks let be.
inline const std::map<std::string, std::string> kWords = {
    {"join_leave.join_or_leave", "join"},
    {"role_changes.action", "added"},
    {"voice_activity.action", "joined"},
    {"gallery_migration.target_forum", "sfw"}};

struct Column {
  std::string table, name, type;
  bool generated = false;
  bool references = false;  ///< Another table, but `users`.

  std::string full() const { return absl::StrCat(table, ".", name); }
  bool number() const { return type == "bigint" || type == "bigint[]" || type == "numeric"; }
  bool text() const {
    return type == "text" || type == "jsonb" || type == "tsvector" || type == "real[]" ||
           absl::StartsWith(type, "character") || absl::StartsWith(type, "vector");
  }
};

/// The policy: `messages.content` -> `less`, and the tables that a server's rows are in, or are
/// not.
struct Policy {
  std::map<std::string, std::string> columns;
  Names purged, kept;

  static Policy Read() {
    Policy policy;
    std::ostringstream text;
    text
        << std::ifstream(absl::StrCat(TWI_SOURCE_FOLDER, "/repositories/personal_data.md")).rdbuf();
    for (absl::string_view paragraph : absl::StrSplit(text.str(), "\n\n")) {
      for (absl::string_view line : absl::StrSplit(paragraph, '\n')) policy.ReadRow(line);
      absl::string_view list = paragraph;
      const bool kept = absl::ConsumePrefix(&list, "Not the server's, and kept: ");
      if (kept) list = list.substr(0, list.find('.'));
      if (!kept && !absl::StartsWith(list, "attachments, ")) continue;
      for (absl::string_view name : absl::StrSplit(list, ',')) {
        (kept ? policy.kept : policy.purged).emplace(absl::StripAsciiWhitespace(name));
      }
    }
    return policy;
  }

  /// `| messages | content | less | why |`, but for the table's head.
  void ReadRow(absl::string_view line) {
    const std::vector<absl::string_view> cells = absl::StrSplit(line, '|');
    if (cells.size() < 6) return;
    const absl::string_view what = absl::StripAsciiWhitespace(cells[3]);
    if (what == "what" || what == "---") return;
    for (absl::string_view name : absl::StrSplit(cells[2], ',')) {
      const std::string full =
          absl::StrCat(absl::StripAsciiWhitespace(cells[1]), ".", absl::StripAsciiWhitespace(name));
      EXPECT_TRUE(columns.emplace(full, what).second) << full << " is named twice";
    }
  }

  Names That(const std::string& what) const {
    Names names;
    for (const auto& [name, said] : columns) {
      if (said == what) names.insert(name);
    }
    return names;
  }
};

/// Every table filled with rows of a person, of others, and of others that tell of the person.
class PersonalDataTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server = std::make_unique<RunningServer>(); }
  static void TearDownTestSuite() { server = nullptr; }

  PersonalDataTest() {
    const Json columns = Rows(
        "select jsonb_build_array(c.relname, a.attname, format_type(a.atttypid, a.atttypmod), "
        "a.attgenerated <> '', exists (select from pg_constraint k where k.conrelid = c.oid and "
        "k.contype = 'f' and k.confrelid <> 'users'::regclass and k.conkey = array[a.attnum])) as "
        "x "
        "from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not "
        "a.attisdropped where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and "
        "c.relname not like 'twi\\_data\\_%' order by c.relname, a.attnum");
    for (const Json& column : columns) {
      tables_[column[0]].push_back({column[0], column[1], column[2], column[3], column[4]});
    }
  }

  /// The column `x` of a query's rows.
  Json Rows(const std::string& query) const {
    return Json::parse(server->database().Value(
        absl::StrCat("select coalesce(jsonb_agg(x), '[]') from (", query, ") q")));
  }

  /// The same of each table, whose name is for TABLE.
  Json OfAll(const std::string& query) const {
    std::vector<std::string> queries;
    for (const auto& [table, columns] : tables_) {
      queries.push_back(absl::StrReplaceAll(query, {{"TABLE", table}}));
    }
    return Rows(absl::StrJoin(queries, " union all "));
  }

  bool IsUser(const Column& column) const {
    return column.type == "bigint" && policy_.columns.contains(column.full());
  }

  std::string Value(const Column& column, int set, const std::string& person) const {
    const bool own = set == kOwn;
    if (column.full() == "updates.primary_key" && own) return absl::StrCat("'", kPerson, "'");
    if (column.full() == "updates.updated_table") return own ? "'users'" : "'channels'";
    if (column.full() == "updates.primary_key") return absl::StrCat("'", set, "'");
    if (const auto word = kWords.find(column.full()); word != kWords.end()) {
      return absl::StrCat("'", word->second, "'");
    }
    if (IsUser(column)) return own || column.name == person ? kPerson : kOther;
    if (column.type == "bigint" && column.references && set >= kBeside) return absl::StrCat(kPlain);
    if (column.type == "bigint") return absl::StrCat(set);
    if (column.type == "bigint[]") return absl::StrCat("'{", set, "}'");
    if (column.type == "boolean") return "false";
    if (column.type == "integer" || column.type == "smallint") return "1";
    if (column.type == "interval") return "'1 s'";
    if (absl::StartsWith(column.type, "timestamp")) {
      return absl::StrCat("timestamp '2020-01-01' + interval '1 s' * ", set);
    }
    if (column.type == "real[]" || absl::StartsWith(column.type, "vector")) return "null";
    const auto what = policy_.columns.find(column.full());
    const bool stays =
        what != policy_.columns.end() && (what->second == "less" || what->second == "keep");
    std::string text = absl::StrCat("plain ", set);
    const bool named = own || (set == kTold && stays);
    if (named) text = absl::StrCat(own ? "MARK " : "told ", set, " <@", kPerson, ">.");
    if (column.type != "jsonb") return absl::StrCat("'", text, "'");
    if (column.name == "images" || column.name == "tags") return absl::StrCat("'[\"", text, "\"]'");
    return absl::StrCat("'{\"k\": \"", text, "\", \"n\": ", named ? kPerson : "1", "}'");
  }

  std::string Insert(const std::string& table, int set, const std::string& person = "") const {
    std::vector<std::string> names, values;
    for (const Column& column : tables_.at(table)) {
      if (column.generated) continue;
      names.push_back(column.name);
      values.push_back(Value(column, set, person));
    }
    return absl::StrCat("insert into ", table, " (", absl::StrJoin(names, ", "), ") values (",
                        absl::StrJoin(values, ", "), ") on conflict do nothing;\n");
  }

  /// SQL that empties the tables.
  std::string Empty() const {
    std::string script = "set session_replication_role = replica;\n";
    for (const auto& [table, columns] : tables_)
      absl::StrAppend(&script, "delete from ", table, ";\n");
    return script;
  }

  /// Makes the tables hold the sets of rows, and nothing else.
  void Fill() const {
    std::string script = Empty();
    int beside = kBeside;
    for (const auto& [table, columns] : tables_) {
      for (int set : {kOwn, kPlain, kTold}) script += Insert(table, set);
      for (const Column& column : columns) {
        if (IsUser(column) && table != "users") script += Insert(table, beside++, column.name);
      }
    }
    server->database().Run(script);
    EXPECT_EQ(server->database().Value("select count(*) from users"), "2");
  }

  /// `table.column` of each value that has the word.
  Names Holding(const std::string& word) const {
    const Json found = OfAll(absl::StrCat(
        "select distinct 'TABLE.' || c.key as x from TABLE t, jsonb_each_text(to_jsonb(t)) c "
        "where c.value ~ '\\m",
        word, "\\M'"));
    return {found.begin(), found.end()};
  }

  Json All(const std::string& condition = "true") const {
    return OfAll(absl::StrCat(
        "select jsonb_build_array('TABLE', to_jsonb(t)) as x from TABLE t where ", condition));
  }

  Json Counts(const google::protobuf::RepeatedPtrField<data::v1::TableCount>& tables) const {
    Json counts = Json::object();
    for (const auto& table : tables) {
      counts[table.table_name()] = {table.erased(), table.anonymised()};
    }
    return counts;
  }

  Json Delete(bool dry_run) {
    data::v1::DeleteUserDataRequest request;
    data::v1::DeleteUserDataResponse response;
    request.set_user_id(std::stoll(kPerson));
    request.set_dry_run(dry_run);
    const grpc::Status status =
        server->Call("/twi.data.v1.PersonalDataService/DeleteUserData", request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return Counts(response.tables());
  }

  /// What the stream tells, as [table, row], each told in numbers and JSON again.
  std::vector<Json> Export() {
    Conversation conversation(server->stub(), "/twi.data.v1.PersonalDataService/ExportUserData");
    data::v1::ExportUserDataRequest request;
    request.set_user_id(std::stoll(kPerson));
    conversation.Write(request);
    conversation.WritesDone();
    std::vector<Json> rows;
    for (data::v1::ExportUserDataResponse portion; conversation.Read(&portion);) {
      for (const auto& row : portion.rows()) {
        std::string text;
        EXPECT_TRUE(google::protobuf::util::MessageToJsonString(row.row(), &text).ok());
        Json columns = Json::parse(text);
        for (const Column& column : tables_.at(row.table_name())) {
          Json& value = columns[column.name];
          const bool telling = column.type == "jsonb" || column.type == "integer" ||
                               column.type == "smallint" || column.number();
          if (value.is_string() && telling) value = Json::parse(value.get<std::string>());
        }
        rows.push_back({row.table_name(), columns});
      }
    }
    const grpc::Status status = conversation.Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return rows;
  }

  const Policy policy_ = Policy::Read();
  inline static std::unique_ptr<RunningServer> server;
  std::map<std::string, std::vector<Column>> tables_;
};

}  // namespace twi::testing

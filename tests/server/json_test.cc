// Messages as jsonb and back, and free-form JSON, from the request's bytes to the response's.

#include "tests/support/operation_fixture.h"
#include "twi/test/v1/json.pb.h"

namespace twi::server {
namespace {

// The database has other defaults than ours for everything that the forms of JSON depend on.
constexpr char kTables[] = R"(
do $do$
declare
  setting text;
begin
  foreach setting in array array[
    'timezone = "Asia/Kathmandu"', 'bytea_output = escape', 'extra_float_digits = -5',
    'intervalstyle = iso_8601', 'datestyle = "SQL, DMY"'
  ] loop
    execute format('alter database %I set ', current_database()) || setting;
  end loop;
end
$do$;
create table hidden_rows (
  id bigint primary key,
  name text not null,
  note text,
  mood text,
  at timestamptz,
  local timestamp not null,
  digest bytea not null,
  ratio double precision not null,
  sizes integer[] not null,
  length interval not null
);
insert into hidden_rows values
  (9007199254740993, 'a "b" \ /' || chr(10) || chr(1) || '<é😀>', null, null,
   '0099-02-28 23:59:59.5+00', '2024-02-29 12:00:00.000001', '\x00ff', 'NaN', '{}', '-1.5 s'),
  (1, '', null, 'glad', '1800-01-01 00:00:00+00', 'epoch', '\x5c78', 0.12345678901234568, '{}',
   '0 s'),
  (-9223372036854775808, '', '', 'very_sad', 'epoch', 'epoch', '', '-Infinity', '{1,-2}', '1 day');)";

constexpr char kStanzas[] = R"(
-- name: EchoMessages
select
  :attachment::jsonb as attachment,
  :attachments::jsonb as attachments,
  :extra::jsonb as extra,
  :any::jsonb as any;

-- name: ListParts
select r.id, r.name, r.note, r.mood, r.at, r.parts, r.digest, r.ratio, r.sizes, r.length, r.extra, r.hash
from rows from (
  jsonb_to_recordset(:attachments) as (
    id bigint, name text, note text, mood text, at timestamptz, parts jsonb, digest bytea,
    ratio double precision, sizes integer[], length interval, extra jsonb, hash bigint)
) with ordinality as r (id, name, note, mood, at, parts, digest, ratio, sizes, length, extra, hash, i)
order by r.i;

-- name: ReadMessage
select :text::text::jsonb as attachment;

-- name: ReadText
select :text::text::json as attachment;

-- name: ReadValue
select :text::text::jsonb as any;

-- name: ReadTargets
select j.targets, length(:text) as length
from (select :text::text::jsonb as targets) j;

-- name: ReadRows
select jsonb_build_object('parts', jsonb_agg(jsonb_build_object(
  'id', r.id,
  'name', r.name,
  'note', r.note,
  'mood', r.mood,
  'at', r.at at time zone 'UTC',
  'digest', r.digest,
  'ratio', r.ratio,
  'sizes', r.sizes,
  'length', extract(epoch from r.length),
  'parts', jsonb_build_array(jsonb_build_object('at', r.local), jsonb_build_object('at', r.at))
) order by r.id)) as attachment
from hidden_rows r
where :text = '';
)";

class JsonTest : public testing::OperationFixture {
 protected:
  static void SetUpTestSuite() {
    Serve(kTables, kStanzas,
          test::v1::Messages::descriptor()->file()->FindServiceByName("JsonService"));
  }
};

// The whole of what a message may hold, as jsonb and by the columns of its fields.
constexpr char kFull[] = R"(
    id: 9007199254740993 name: "a\"\\/\n\001\037 é 😀 \\u0000" note: "" mood: MOOD_VERY_SAD
    at { seconds: -62135596800 nanos: 1000 } parts { id: -9223372036854775808 ratio: nan }
    parts { ratio: inf at { seconds: 253402300799 nanos: 999999000 } } digest: "\000\377"
    ratio: -inf sizes: [2147483647, -2147483648] length { seconds: -3 nanos: -500000000 }
    extra {
      fields { key: "" value { null_value: 0 } }
      fields { key: "a.b" value { number_value: 1e300 } }
      fields { key: "n" value { list_value { values { number_value: 9007199254740992 }
        values { struct_value {} } values { bool_value: false } values { string_value: "" } } } }
    } hash: 9223372036854775807)";

TEST_F(JsonTest, MessagesComeBack) {
  const std::string full = kFull;
  ExpectEcho("EchoMessages", "");
  ExpectEcho("EchoMessages", "attachment {} attachments {} attachments {} extra {}");
  ExpectEcho("EchoMessages", "attachment {" + full + "} attachments {} attachments {" + full + "}");
  ExpectEcho("EchoMessages", "attachment { hash: 18446744073709551615 }");
  ExpectEcho("EchoMessages", "attachment { length { seconds: 315575999999 nanos: 999999000 } }");
  ExpectAnswer("ListParts", "attachments {" + full + "} attachments { note: 'hush' }",
               "attachments {" + full + "} attachments { note: 'hush' }");
  ExpectAnswer("ListParts", "", "");
  ExpectInvalid("EchoMessages", "attachments {} attachments { parts { mood: 5 } }",
                "attachments[1].parts[0].mood");
  ExpectInvalid("EchoMessages", "attachment { at { nanos: -1 } }", "attachment.at");
  ExpectRefusal("EchoMessages", "attachment { parts { name: 'hush\\000' } }",
                Code::INVALID_ARGUMENT, "TEXT_CONTAINS_NUL", "attachment.parts[0].name");
}

TEST_F(JsonTest, FreeFormJsonComesBack) {
  for (const char* any :
       {"null_value: 0", "number_value: 0", "number_value: -0.1",
        "number_value: 1.7976931348623157e308", "number_value: 1e23", "number_value: 5e-324",
        "number_value: 9007199254740992", "number_value: 12345678901234e6",
        "number_value: -9.2233720368547e18", "number_value: 18446744073709551615",
        "string_value: ''", "bool_value: false", "struct_value {}", "list_value {}"}) {
    ExpectEcho("EchoMessages", std::string("any {") + any + "}");
  }
  // A value without a kind is null.
  ExpectAnswer("EchoMessages", "any {}", "any { null_value: 0 }");
  ExpectInvalid("EchoMessages", "any { number_value: inf }", "any");
  ExpectInvalid("EchoMessages", "extra { fields { key: 'k' value { number_value: nan } } }",
                "extra.k");
  ExpectRefusal("EchoMessages", "extra { fields { key: '\\000' value { bool_value: true } } }",
                Code::INVALID_ARGUMENT, "TEXT_CONTAINS_NUL", "extra");
  // A double does not have all integers: better no answer than another id.
  ExpectRead("ReadValue", "1152921504606846976", "any { number_value: 1152921504606846976 }");
  ExpectRead("ReadValue", "-9223372036854775808", "any { number_value: -9223372036854775808 }");
  ExpectLoss("ReadValue", "9007199254740993", "any");
  ExpectLoss("ReadValue", R"({"hush": [18446744073709551615]})", "any");
  ExpectLoss("ReadValue", "1e400", "any");
  // Beyond 64 bits are no ids but doubles, which jsonb spells out.
  ExpectRead("ReadValue", "18446744073709551617", "any { number_value: 18446744073709551616 }");
  ExpectRead("ReadValue", "-100000000000000000000001",
             "any { number_value: -1.0000000000000001e23 }");
  ExpectRead("ReadValue", R"({"k": "\u00e9\ud83d\ude00\u0001"})",
             "any { struct_value { fields { key: 'k' value { string_value: 'é😀\\001' } } } }");
}

// Clients refuse messages nested deeper than 100, entries of maps among them: Call ends the test
// for an answer that cannot be read.
TEST_F(JsonTest, NestsAsDeepAsClientsRead) {
  const auto deepest = [](const std::string& method, google::protobuf::Message* response,
                          std::string_view open, std::string_view inner, std::string_view close) {
    for (int depth = 1; depth < 120; ++depth) {
      std::string json(inner);
      for (int i = 0; i < depth; ++i) {
        json.insert(0, open);
        json.append(close);
      }
      const grpc::Status status = Call(method, Text(json), response);
      if (status.ok()) continue;
      EXPECT_EQ(testing::DetailsOf(status).info.reason(), "VALUE_UNREPRESENTABLE") << method;
      return depth - 1;
    }
    return 120;
  };
  test::v1::ReadValueResponse value;
  test::v1::ReadMessageResponse message;
  EXPECT_EQ(deepest("ReadValue", &value, R"({"k":)", "1", "}"), 29);
  EXPECT_EQ(deepest("ReadValue", &value, "[", "1", "]"), 44);
  EXPECT_EQ(deepest("ReadMessage", &message, R"({"parts":[)", "{}", "]}"), 89);
}

TEST_F(JsonTest, JsonOfTheDatabaseIsRead) {
  ExpectRead("ReadMessage", R"({"id": "9223372036854775807", "hash": 18446744073709551615})",
             "attachment { id: 9223372036854775807 hash: 18446744073709551615 }");
  // NULL where it cannot be told is the default.
  ExpectRead("ReadMessage",
             R"({"id": null, "name": null, "note": null, "mood": null, "at": null, "parts": null,
                 "digest": null, "ratio": null, "sizes": null, "length": null, "extra": null})",
             "attachment {}");
  ExpectRead("ReadMessage", "null", "");
  ExpectRead("ReadText", " null ", "");
  // The last of equal keys counts, in json as in jsonb.
  for (const char* method : {"ReadMessage", "ReadText"}) {
    ExpectRead(method, R"({"id": 1, "name": "hush", "id": 2, "name": "b"})",
               "attachment { id: 2 name: 'b' }");
  }
  ExpectRead("ReadText", R"({"name": "\u0041\/\b\uD83D\uDE00"})",
             "attachment { name: 'A/\\010😀' }");
  for (const char* lost : {R"([])",
                           R"("hush")",
                           R"({"hush": 1})",
                           R"({"name": 1})",
                           R"({"id": 1.5})",
                           R"({"id": 9223372036854775808})",
                           R"({"id": "hush"})",
                           R"({"sizes": [1, null]})",
                           R"({"sizes": [2147483648]})",
                           R"({"mood": "hush"})",
                           R"({"mood": 1})",
                           R"({"at": "infinity"})",
                           R"({"at": "10000-01-01T00:00:00"})",
                           R"({"at": 0})",
                           R"({"at": "0044-03-15T00:00:00 BC"})",
                           R"({"digest": "hush"})",
                           R"({"digest": "\\x0"})",
                           R"({"ratio": "hush"})",
                           R"({"parts": [null]})",
                           R"({"parts": {}})",
                           R"({"extra": []})",
                           R"({"length": "hush"})",
                           R"({"extra": {"hush": 9007199254740993}})"}) {
    ExpectLoss("ReadMessage", lost, "attachment");
    ExpectLoss("ReadText", lost, "attachment");
  }
}

TEST_F(JsonTest, RowsAsJsonAreRead) {
  // Neither the database's zone nor its forms of output matter.
  ExpectAnswer("ReadRows", "", R"(
    attachment {
      parts {
        id: -9223372036854775808 note: '' mood: MOOD_VERY_SAD at {} ratio: -inf sizes: [1, -2]
        length { seconds: 86400 } parts { at {} } parts { at {} }
      }
      parts {
        id: 1 mood: MOOD_GLAD at { seconds: -5364662400 } digest: "\\x" ratio: 0.12345678901234568
        length {} parts { at {} } parts { at { seconds: -5364662400 } }
      }
      parts {
        id: 9007199254740993 name: "a \"b\" \\ /\n\001<é😀>" ratio: nan digest: "\000\377"
        at { seconds: -59037897601 nanos: 500000000 } length { seconds: -1 nanos: -500000000 }
        parts { at { seconds: 1709208000 nanos: 1000 } }
        parts { at { seconds: -59037897601 nanos: 500000000 } }
      }
    })");
}

TEST_F(JsonTest, OneofsHaveOneMember) {
  ExpectRead("ReadTargets", R"([{"user_id": 0}, {"channel": "c", "user_id": null}, {}])",
             "targets { user_id: 0 } targets { channel: 'c' } targets {} length: 55");
  ExpectLoss("ReadTargets", R"([{"user_id": 1, "channel": "hush"}])", "targets");
}

}  // namespace
}  // namespace twi::server

// Values of every kind, from the request's bytes to the database and to the response's bytes.

#include "tests/support/operation_fixture.h"
#include "twi/test/v1/values.pb.h"

namespace twi::server {
namespace {

constexpr char kStanzas[] = R"(
-- name: EchoScalars
select
  :i32::integer as i32,
  :i64::bigint as i64,
  :u32::bigint as u32,
  :u64::bigint as u64,
  :flag::boolean as flag,
  :real::real as real,
  :wide::double precision as wide,
  :text::text as text,
  :raw::bytea as raw,
  :mood::text as mood,
  :mood_number::integer as mood_number,
  :at::timestamptz as at,
  :local::timestamp as local,
  :length::interval as length,
  :maybe_i64::bigint as maybe_i64,
  :maybe_text::text as maybe_text,
  :maybe_flag::boolean as maybe_flag,
  :maybe_mood::text as maybe_mood,
  :maybe_wide::double precision as maybe_wide;

-- name: EchoArrays
select
  :ids::bigint[] as ids,
  :numbers::integer[] as numbers,
  :texts::text[] as texts,
  :flags::boolean[] as flags,
  :reals::double precision[] as reals,
  :blobs::bytea[] as blobs,
  :moods::text[] as moods,
  :times::timestamptz[] as times,
  :json_moods::jsonb as json_moods,
  :json_ids::jsonb as json_ids;

-- name: EchoNested
select
  :outer.number::bigint as number,
  :outer.inner.name::text as name,
  :outer.inner.note::text as note,
  :outer.inner.mood::text as mood,
  :outer.inner.at::timestamptz as at,
  :outer.inner.sizes::integer[] as sizes,
  :outer.inner::jsonb as inner;

-- name: EchoTarget
select :user_id::bigint as user_id, :channel::text as channel, :name::text as name;

-- name: ReadTarget
select nullif(:user_id::bigint, 0) as user_id, nullif(:channel::text, '') as channel, 'hush' as name;

-- name: ReadTime
select :text::text::timestamptz as at;

-- name: ReadMood
select :text::text as mood;

-- name: ReadArray
select :text::text::bigint[] as ids, '' as text;

-- name: ReadNulls
select
  null::integer as i32, null::bigint as i64, null::bigint as u32, null::bigint as u64,
  null::boolean as flag, null::real as real, null::double precision as wide, null::text as text,
  null::bytea as raw, null::text as mood, null::integer as mood_number, null::timestamptz as at,
  null::timestamp as local, null::interval as length, null::bigint as maybe_i64,
  null::text as maybe_text, null::boolean as maybe_flag, null::text as maybe_mood,
  null::double precision as maybe_wide
where :text = '';
)";

class ValuesTest : public testing::OperationFixture {
 protected:
  static void SetUpTestSuite() {
    Serve("", kStanzas,
          test::v1::Scalars::descriptor()->file()->FindServiceByName("ValuesService"));
  }
};

TEST_F(ValuesTest, ScalarsComeBack) {
  ExpectEcho("EchoScalars", "");
  ExpectEcho("EchoScalars", R"(
    i32: -2147483648 i64: -9223372036854775808 u32: 4294967295 u64: 9223372036854775807 flag: true
    real: -1.1 wide: 5e-324 text: "hush \"\\\n\001 é 😀" raw: "\000\377" mood: MOOD_VERY_SAD
    mood_number: MOOD_GLAD at { seconds: -1 nanos: 999999000 } local { seconds: 1 nanos: 1000 }
    length { seconds: -3 nanos: -500000000 }
    maybe_i64: 0 maybe_text: "" maybe_flag: false maybe_mood: MOOD_GLAD maybe_wide: -0.0)");
  ExpectEcho("EchoScalars", "i64: 9007199254740993 real: inf wide: nan maybe_wide: -inf");
  // UNSPECIFIED is NULL, also when it is said.
  ExpectAnswer("EchoScalars", "maybe_mood: MOOD_UNSPECIFIED", "");
  ExpectAnswer("ReadNulls", "", "");
}

TEST_F(ValuesTest, ScalarsWithoutAFormAreRefused) {
  ExpectInvalid("EchoScalars", "u64: 9223372036854775808", "u64");
  ExpectInvalid("EchoScalars", "mood: 5", "mood");
  ExpectInvalid("EchoScalars", "mood_number: 5", "mood_number");
  ExpectInvalid("EchoScalars", "maybe_mood: -1", "maybe_mood");
  ExpectRefusal("EchoScalars", "text: 'hush\\000'", Code::INVALID_ARGUMENT, "TEXT_CONTAINS_NUL",
                "text");
  ExpectLoss("ReadMood", "hush", "mood");
  ExpectLoss("ReadMood", "GLAD", "mood");
  ExpectLoss("ReadMood", "unspecified", "mood");
  ExpectLoss("ReadMood", "", "mood");
  ExpectRead("ReadMood", "very_sad", "mood: MOOD_VERY_SAD");
}

TEST_F(ValuesTest, TimesHaveTheirEnds) {
  const std::string ends =
      "at { seconds: -62135596800 } local { seconds: 253402300799 nanos: 999999000 }";
  ExpectEcho("EchoScalars", ends);
  // What is finer than a microsecond is cut off, towards the past also before 1970.
  ExpectAnswer("EchoScalars", "at { seconds: -1 nanos: 999999999 } local { nanos: 1999 }",
               "at { seconds: -1 nanos: 999999000 } local { nanos: 1000 }");
  ExpectInvalid("EchoScalars", "at { seconds: -62135596801 }", "at");
  ExpectInvalid("EchoScalars", "local { seconds: 253402300800 }", "local");
  ExpectInvalid("EchoScalars", "at { nanos: 1000000000 }", "at");
  ExpectInvalid("EchoScalars", "at { nanos: -1 }", "at");
  ExpectInvalid("EchoScalars", "length { seconds: 1 nanos: -1 }", "length");
  ExpectInvalid("EchoScalars", "length { seconds: 315576000001 }", "length");
  ExpectEcho("EchoScalars", "length { seconds: -315576000000 }");
  for (const char* lost : {"infinity", "-infinity", "0001-12-31 BC", "10000-01-01"}) {
    ExpectLoss("ReadTime", lost, "at");
  }
  ExpectRead("ReadTime", "0001-01-01 05:30:00+05:30", "at { seconds: -62135596800 }");
  ExpectRefusal("ReadTime", Text("hush"), Code::INVALID_ARGUMENT, "VALUE_INVALID");
}

TEST_F(ValuesTest, ArraysComeBack) {
  ExpectEcho("EchoArrays", "");
  ExpectEcho("EchoArrays", R"(
    ids: [0, 9223372036854775807, -9223372036854775808] numbers: [2147483647, 0, -1]
    texts: ["", "NULL", "{a,b}", "\"\\", "\n\t ", "é😀"] flags: [true, false, true]
    reals: [nan, inf, -inf, -0.0, 0.1] blobs: ["", "\000", "\\x"] moods: [MOOD_VERY_SAD, MOOD_GLAD]
    times: { seconds: -62135596800 } times: {} times: { seconds: 253402300799 nanos: 999999000 }
    json_moods: [MOOD_GLAD, MOOD_GLAD] json_ids: [9007199254740993, 9223372036854775807])");
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "ids: " + std::to_string(i * 1000003L) + " texts: 'x' ";
  ExpectEcho("EchoArrays", many);
}

TEST_F(ValuesTest, ElementsWithoutAFormAreRefused) {
  ExpectInvalid("EchoArrays", "moods: [MOOD_GLAD, MOOD_UNSPECIFIED]", "moods[1]");
  ExpectInvalid("EchoArrays", "json_moods: [MOOD_GLAD, MOOD_UNSPECIFIED]", "json_moods[1]");
  ExpectInvalid("EchoArrays", "json_moods: [MOOD_GLAD, 5]", "json_moods[1]");
  ExpectInvalid("EchoArrays", "times {} times { nanos: -1 }", "times[1]");
  ExpectRefusal("EchoArrays", "texts: ['a', 'hush\\000']", Code::INVALID_ARGUMENT,
                "TEXT_CONTAINS_NUL", "texts[1]");
  ExpectRead("ReadArray", "{}", "");
  ExpectRead("ReadArray", "[5:6]={1,2}", "ids: [1, 2]");
  ExpectLoss("ReadArray", "{1,NULL}", "ids");
  ExpectLoss("ReadArray", "{{1},{2}}", "ids");
}

TEST_F(ValuesTest, PlaceholdersGoDown) {
  const std::string inner = "name: 'n' note: '' mood: MOOD_GLAD at { seconds: 1 } sizes: [1, 2]";
  ExpectAnswer("EchoNested", "outer { number: 7 inner {" + inner + "} }",
               "number: 7 " + inner + " inner {" + inner + "}");
  ExpectAnswer("EchoNested", "outer { inner {} }", "number: 0 name: '' inner {}");
  ExpectAnswer("EchoNested", "outer {}", "number: 0");
  ExpectAnswer("EchoNested", "", "");
  ExpectInvalid("EchoNested", "outer { inner { at { nanos: -1 } } }", "outer.inner.at");
  ExpectRefusal("EchoNested", "outer { inner { name: 'hush\\000' } }", Code::INVALID_ARGUMENT,
                "TEXT_CONTAINS_NUL", "outer.inner.name");
}

TEST_F(ValuesTest, OneofsHaveOneMember) {
  ExpectEcho("EchoTarget", "user_id: 0 name: 'n'");
  ExpectEcho("EchoTarget", "channel: '' name: 'n'");
  ExpectEcho("EchoTarget", "name: 'n'");
  ExpectAnswer("ReadTarget", "user_id: 5", "user_id: 5 name: 'hush'");
  ExpectAnswer("ReadTarget", "channel: 'c'", "channel: 'c' name: 'hush'");
  ExpectAnswer("ReadTarget", "", "name: 'hush'");
  ExpectRefusal("ReadTarget", "user_id: 5 channel: 'hush'", Code::DATA_LOSS,
                "VALUE_UNREPRESENTABLE", "channel");
}

}  // namespace
}  // namespace twi::server

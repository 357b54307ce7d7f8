// Which columns of a result may be NULL.

#include "sql/nulls.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "sql/proof.h"

namespace twi::sql {
namespace {

const Dictionary& Known() {
  static const Dictionary kKnown = {
      {{"users", {{"id", "name", "nick", "code"}, {"id", "name"}, {{"id"}}}},
       {"links", {{"id", "title", "owner"}, {"id", "title"}, {{"id"}}}},
       {"shown", {{"id"}, {}, {}}}},
      {{"jsonb_array_elements", {false, true, false, true}}, {"max", {true, false, false, true}}}};
  return kKnown;
}

Proof Of(const std::string& text) {
  auto proof = Proof::Make(text, &Known());
  EXPECT_TRUE(proof.ok()) << text << ": " << proof.status();
  return *std::move(proof);
}

TEST(Nulls, MayComeOfWhatIsNotShownToHaveNone) {
  for (const char* value : {"u.id",
                            "lower(u.name)",
                            "coalesce(u.nick, '')",
                            "coalesce(u.nick, u.name)",
                            "u.id + 1",
                            "u.name || 'x'",
                            "u.id::text",
                            "3",
                            "count(*) over ()",
                            "row_number() over ()",
                            "now()",
                            "case when u.id > 1 then u.name else 'x' end",
                            "exists (select from users)",
                            "q.id",
                            "q.n",
                            "l.title",
                            "greatest(u.nick, u.name)",
                            "l.owner",
                            "u.nick is null",
                            "r.n",
                            "w.id"}) {
    EXPECT_FALSE(
        Of(absl::StrCat("with recursive w as (select id from users union all select w.id from w), "
                        "q as (select id, count(*) as n, max(id) as most from users group by id) "
                        "select ",
                        value,
                        " from users u join q using (id) join links l "
                        "on l.id = u.id, jsonb_array_elements($1) with ordinality r (v, n), w "
                        "where l.owner is not null and u.code > 'x'"))
            .MayBeNull(0))
        << value;
  }
  for (const char* value :
       {"u.nick", "lower(u.nick)", "coalesce(u.nick, u.code)", "u.nick || 'x'", "null", "max(u.id)",
        "$1", "nullif(u.id, 3)", "case when u.id > 1 then u.name end", "(select 1)", "l.title",
        "q.most", "'{}'::jsonb ->> 'a'", "u.id + $1", "s.id", "d.owner"}) {
    EXPECT_TRUE(
        Of(absl::StrCat("with q as (select max(id) as most from users), "
                        "d as (update links set owner = 1 returning owner) select ",
                        value, " from users u left join links l on l.id = u.id, q, d, shown s"))
            .MayBeNull(0))
        << value;
  }
  EXPECT_TRUE(Of("select id from users union select null").MayBeNull(0));
  EXPECT_TRUE(Of("select id from users group by cube (id)").MayBeNull(0));
  EXPECT_FALSE(Of("delete from users returning id").MayBeNull(0));
}

}  // namespace
}  // namespace twi::sql

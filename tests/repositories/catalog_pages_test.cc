// What the catalog refuses of lists in pages.

#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "repositories/catalog.h"
#include "tests/support/database.h"
#include "twi/test/v1/page_mistakes.pb.h"

namespace twi::repositories {
namespace {

constexpr char kStanzas[] = R"(
-- name: ByResultsName
-- page: shout
select upper(t.name) as shout, t.name from t where :page.after order by shout limit :page.size;
)";

constexpr char kProblems[] = R"(
2: ByResultsName: the database refuses its next pages: column "shout" does not exist (line 4)
)";

TEST(CatalogPagesTest, EveryMistakeIsToldAtOnceWithItsPlace) {
  const testing::Database database;
  database.Run("create table t (id bigint primary key, name text not null, nick text)");
  const auto loaded = Catalog::Load(
      database.dsn(), {{"page_mistakes.sql", kStanzas}},
      {test::v1::MistakePage::descriptor()->file()->FindServiceByName("PageMistakesService")});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::vector<Problem> problems = loaded->problems;
  std::ranges::stable_sort(problems, {}, &Problem::line);
  std::string told = "\n";
  for (const Problem& problem : problems) {
    absl::StrAppend(&told, problem.line, ": ", problem.message, "\n");
  }
  EXPECT_EQ(told, kProblems);
}

}  // namespace
}  // namespace twi::repositories

// How much of many titles a suggestion touches.

#include "tests/support/plans_fixture.h"

namespace twi::server {
namespace {

// Of 100,000 titles it touches no more: of these there are 400 pages.
constexpr char kTables[] = R"(
insert into poll (id, title) select i, md5(i::text) || ' ' || md5((-i)::text) from generate_series(1, 30000) i;
insert into invisible_text_twi (title) select title from poll;
vacuum analyze
)";

class SuggestionsPlansTest : public testing::PlansTest {
 protected:
  SuggestionsPlansTest() : PlansTest(kTables) {}
};

TEST_F(SuggestionsPlansTest, TitlesAreFoundByTheirIndexes) {
  for (const char* method : {"SuggestPolls", "SuggestInvisibleTextTitles"}) {
    const std::string& text = Find(method).statement().text;
    // As many begin so as are wanted: nothing is looked for that is similar.
    EXPECT_LE(Pages(text, "'a', 25"), 100) << method;
    EXPECT_LE(Pages(text, "'', 25"), 100) << method;
    // Other titles have something like it.
    EXPECT_LE(Pages(text, "'c4ca4238a0b923820dcc509a6f75849', 25"), 150) << method;
  }
}

}  // namespace
}  // namespace twi::server

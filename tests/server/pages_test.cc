// Lists in pages: every row once, whatever happens between the pages, and no token but our own.

#include <gmock/gmock.h>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "repositories/page_token.h"
#include "tests/support/operation_fixture.h"
#include "twi/test/v1/pages.pb.h"

namespace twi::server {
namespace {

using test::v1::NamesPage;
using test::v1::PageRow;
using test::v1::PagesRequest;
using test::v1::PagesResponse;
using ::testing::ElementsAre;

constexpr char kTables[] = R"(
create table hidden_rows (
  id bigint primary key,
  created timestamptz not null,
  name text not null,
  small smallint not null,
  note text,
  amount numeric not null default 0
))";

constexpr char kStanzas[] = R"(
-- name: ListById
-- page: r.id
select r.id, r.created, r.name
from hidden_rows r
where r.id > :above and :page.after
order by r.id
limit :page.size;

-- name: ListByIdDown
-- page: r.id desc
select r.id, r.created, r.name
from hidden_rows r
where r.id > :above and :page.after
order by r.id desc
limit :page.size;

-- name: ListByTime
-- page: r.created, r.id
select r.id, r.created, r.name
from hidden_rows r
where r.id > :above and :page.after
order by r.created, r.id
limit :page.size;

-- name: ListByTimeDown
-- page: r.created desc, r.id desc
select r.id, r.created, r.name
from hidden_rows r
where r.id > :above and :page.after
order by r.created desc, r.id desc
limit :page.size;

-- name: ListByName
-- page: r.small, r.name, r.id
select r.id, r.created, r.name, r.small
from hidden_rows r
where r.id > :above and :page.after
order by r.small, r.name, r.id
limit :page.size;

-- name: ListByLowerName
-- page: lower(r.name) desc, coalesce(r.note, '-') desc, r.amount desc, r.id desc
select r.id, r.created, r.name, lower(r.name) as lower_name, coalesce(r.note, '-'), r.amount
from hidden_rows r
where r.id > :above and :page.after
order by lower_name desc, coalesce(r.note, '-') desc, r.amount desc, id desc
limit :page.size;

-- name: ListNames
-- page: r.id
select r.name as names, r.id
from hidden_rows r
where r.id > :above and :page.after
order by r.id
limit :page.size;
)";

class PagesTest : public testing::OperationFixture {
 protected:
  static void SetUpTestSuite() {
    Serve(kTables, kStanzas, PageRow::descriptor()->file()->FindServiceByName("PagesService"));
  }

  // 60 rows: five of each time, and four names, one of them empty.
  void SetUp() override {
    database().Run(
        "truncate hidden_rows;"
        "insert into hidden_rows select i, 'epoch'::timestamptz + i % 12 * interval '1 us', "
        "repeat(case i % 3 when 0 then 'HUSH' else 'hush' end, i % 4), i % 2 - 1, "
        "case i % 5 when 0 then 'x' end, "
        "(array['Infinity', '-Infinity', 'NaN', '0.05', '-12345678901234567890'])[i / 13 + "
        "1]::numeric "
        "from generate_series(1, 60) i");
  }

  static std::string Request(int size, const std::string& token = "", int64_t above = 0) {
    PagesRequest request;
    request.set_page_size(size);
    request.set_page_token(token);
    request.set_above(above);
    return request.ShortDebugString();
  }

  static PagesResponse Page(const std::string& method, const std::string& request) {
    PagesResponse response;
    const grpc::Status status = Call(method, request, &response);
    EXPECT_TRUE(status.ok()) << method << ": " << status.error_message();
    return response;
  }

  static std::vector<int64_t> Ids(const PagesResponse& page) {
    std::vector<int64_t> ids;
    for (const PageRow& row : page.rows()) ids.push_back(row.id());
    return ids;
  }

  /// The ids of all pages from the one that `token` names on.
  static std::vector<int64_t> Rest(const std::string& method, int size, std::string token = "") {
    std::vector<int64_t> ids;
    do {
      const PagesResponse page = Page(method, Request(size, token));
      EXPECT_LE(page.rows_size(), size);
      for (int64_t id : Ids(page)) ids.push_back(id);
      token = page.next_page_token();
      EXPECT_TRUE(token.empty() || page.rows_size() == size);
    } while (!token.empty() && ids.size() < 1000);
    return ids;
  }

  static std::vector<int64_t> InOrder(const std::string& order) {
    std::vector<int64_t> ids;
    for (absl::string_view id :
         absl::StrSplit(database().Value("select string_agg(id::text, ' ' order by " + order +
                                         ") from hidden_rows"),
                        ' ', absl::SkipEmpty())) {
      int64_t number = 0;
      EXPECT_TRUE(absl::SimpleAtoi(id, &number));
      ids.push_back(number);
    }
    return ids;
  }

  static std::string TokenAfter(const std::string& method, int size) {
    return Page(method, Request(size)).next_page_token();
  }

  static void ExpectForeign(const std::string& method, const std::string& token,
                            int64_t above = 0) {
    ExpectRefusal(method, Request(5, token, above), Code::INVALID_ARGUMENT, "PAGE_TOKEN_INVALID",
                  "page_token");
  }
};

constexpr std::pair<const char*, const char*> kOrders[] = {
    {"ListById", "id"},
    {"ListByIdDown", "id desc"},
    {"ListByTime", "created, id"},
    {"ListByTimeDown", "created desc, id desc"},
    {"ListByName", "small, name collate \"C\", id"},
    {"ListByLowerName",
     "lower(name) collate \"C\" desc, coalesce(note, '-') desc, amount desc, id desc"},
};

TEST_F(PagesTest, EveryRowComesOnceInOrder) {
  for (const auto& [method, order] : kOrders) {
    for (int size : {1, 7, 10, 11}) EXPECT_EQ(Rest(method, size), InOrder(order)) << method << size;
  }
  database().Run("truncate hidden_rows");
  for (const auto& [method, order] : kOrders) ExpectAnswer(method, "", "");
}

TEST_F(PagesTest, ElementsThatAreValuesPageToo) {
  std::vector<std::string> names;
  NamesPage page;
  do {
    const std::string token = page.next_page_token();
    ASSERT_TRUE(Call("ListNames", Request(11, token), &page).ok());
    names.insert(names.end(), page.names().begin(), page.names().end());
  } while (!page.next_page_token().empty());
  ASSERT_EQ(names.size(), 60);
  EXPECT_THAT(std::vector(names.begin(), names.begin() + 3),
              ElementsAre("hush", "hushhush", "HUSHHUSHHUSH"));
}

TEST_F(PagesTest, TheSizeHasADefaultAndAnEnd) {
  EXPECT_EQ(Page("ListById", "").rows_size(), 7);
  EXPECT_EQ(Page("ListById", Request(2)).rows_size(), 2);
  EXPECT_EQ(Page("ListById", Request(12)).rows_size(), 11);
  EXPECT_EQ(Page("ListById", Request(2147483647)).rows_size(), 11);
  ExpectRefusal("ListById", Request(-1), Code::INVALID_ARGUMENT, "FIELD_INVALID", "page_size");
  // It may change from page to page.
  const std::string token = TokenAfter("ListById", 2);
  EXPECT_THAT(Ids(Page("ListById", Request(3, token))), ElementsAre(3, 4, 5));
  EXPECT_THAT(Ids(Page("ListById", Request(0, token))), ElementsAre(3, 4, 5, 6, 7, 8, 9));
}

// Clients take messages of 4 MiB unless they are told otherwise.
TEST_F(PagesTest, WideRowsMakePagesShorter) {
  database().Run("update hidden_rows set name = repeat('x', 100000 * (id % 12)::integer)");
  std::vector<int64_t> ids;
  std::vector<int> sizes;
  PagesResponse page;
  do {
    page = Page("ListById", Request(10, page.next_page_token()));
    EXPECT_LE(page.ByteSizeLong(), size_t{3} << 20) << page.rows_size();
    sizes.push_back(page.rows_size());
    for (int64_t id : Ids(page)) ids.push_back(id);
  } while (!page.next_page_token().empty() && ids.size() < 1000);
  EXPECT_EQ(ids, InOrder("id"));
  // The first ten have 5.5 MB, the first five of them 1.5 MB.
  EXPECT_EQ(sizes.front(), 5);

  // One row is a page, as wide as it may be.
  database().Run("update hidden_rows set name = repeat('x', 3500000)");
  page = Page("ListById", Request(10));
  EXPECT_THAT(Ids(page), ElementsAre(1));
  EXPECT_THAT(Ids(Page("ListById", Request(10, page.next_page_token()))), ElementsAre(2));
}

TEST_F(PagesTest, RowsComeAndGoBetweenThePages) {
  for (const auto& [method, order] : kOrders) {
    SetUp();
    const PagesResponse first = Page(method, Request(5));
    const std::vector<int64_t> before = InOrder(order);
    // The token's own row, one before it and the next two go.
    database().Run(absl::StrCat("delete from hidden_rows where id in (", before[1], ", ", before[4],
                                ", ", before[5], ", ", before[6], ")"));
    // One comes at each end: what is past the key is seen, what is before it is not.
    database().Run(
        "insert into hidden_rows values (1000, 'epoch'::timestamptz + interval '1 s', 'i', 1), "
        "(-5, 'epoch'::timestamptz - interval '1 s', '', -9)");
    std::vector<int64_t> expected(before.begin() + 7, before.end());
    // Only `above` keeps -5 from the end of the lists that go down.
    if (!std::string_view(order).ends_with("desc")) expected.push_back(1000);
    EXPECT_EQ(Rest(method, 5, first.next_page_token()), expected) << method;
  }
}

TEST_F(PagesTest, ATokenBelongsToItsList) {
  const std::string token = TokenAfter("ListById", 5);
  for (const auto& [method, order] : kOrders) {
    if (method != std::string("ListById")) ExpectForeign(method, token);
  }
  ExpectForeign("ListNames", token);
  ExpectForeign("ListById", token, 1);
  EXPECT_THAT(Ids(Page("ListById", Request(2, token))), ElementsAre(6, 7));
}

TEST_F(PagesTest, ATokenIsWhole) {
  const std::string token = TokenAfter("ListByName", 5);
  std::string bytes;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(token, &bytes));
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i] ^= static_cast<char>(1 << i % 8);
    ExpectForeign("ListByName", absl::WebSafeBase64Escape(flipped));
    if (i > 0) ExpectForeign("ListByName", absl::WebSafeBase64Escape(bytes.substr(0, i)));
  }
  for (size_t i = 1; i < token.size(); ++i) ExpectForeign("ListByName", token.substr(0, i));
  ExpectForeign("ListByName", token + token);
  ExpectForeign("ListByName", "hush");
  ExpectForeign("ListByName", std::string(100'000, 'A'));
}

// A token is no secret: who can count can make one. What it holds must not harm.
TEST_F(PagesTest, ATokenMadeByHandHarmsNothing) {
  const auto forge = [](const std::string& method, std::vector<std::string> key) {
    const uint64_t arguments = repositories::HashArguments(PagesRequest());
    return repositories::PageToken{std::move(key)}.Encode("PagesService/" + method, arguments);
  };
  const int64_t lost = server().pool().numbers().lost;
  for (const std::string& key : {std::string(), std::string("hush"), std::string(7, '\xff'),
                                 std::string(9, '\0'), std::string(1000, 'x')}) {
    ExpectForeign("ListById", forge("ListById", {key}));
  }
  const std::string small(2, '\0');
  const std::string id(8, '\0');
  ExpectForeign("ListByName", forge("ListByName", {id, "", id}));
  ExpectForeign("ListByName", forge("ListByName", {small, "", id, id}));
  // The database says what is no text.
  for (const std::string& text : {std::string("hu\0sh", 5), std::string("hush\xff")}) {
    ExpectRefusal("ListByName", Request(5, forge("ListByName", {small, text, id})),
                  Code::INVALID_ARGUMENT, "VALUE_INVALID");
  }
  // Numbers have as many digits as they say.
  const std::string sign("\0\0\0\0\x12\x34\0\0", 8);
  for (const std::string& number :
       {std::string(), std::string(7, '\0'), "\x01" + std::string(7, '\0'),
        std::string("\0\1", 2) + std::string(6, '\0'), sign + "00"}) {
    ExpectForeign("ListByLowerName", forge("ListByLowerName", {"", "", number, id}));
  }
  ExpectRefusal("ListByLowerName", Request(5, forge("ListByLowerName", {"", "", sign, id})),
                Code::INVALID_ARGUMENT, "VALUE_INVALID");
  // Nor is there such a time.
  ExpectRefusal("ListByTime",
                Request(5, forge("ListByTime", {std::string("\x80\0\0\0\0\0\0\1", 8), id})),
                Code::INVALID_ARGUMENT, "VALUE_INVALID");
  EXPECT_THAT(Ids(Page("ListById", Request(2, forge("ListById", {id})))), ElementsAre(1, 2));
  EXPECT_EQ(server().pool().numbers().lost, lost);
}

}  // namespace
}  // namespace twi::server
